"""What a run keeps of its data, in ``data.json``: enough to build its model elsewhere, and to know the data again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.config.build import resolve
from nnxtrain.data.source import Splits
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class DataCard:
    """A data set without its examples.

    Attributes:
      spec: shapes, classes, statistics, tokenizer.
      sizes: how many examples there are in ``train``, ``validation`` and ``test``.
      fingerprints: the digest of each split's content.
    """

    spec: Spec
    sizes: Mapping[str, int]
    fingerprints: Mapping[str, str]

    @classmethod
    def of(cls, splits: Splits) -> DataCard:
        """Describe a data set."""
        sizes = splits.sizes
        fingerprints = {name: getattr(splits, name).fingerprint for name in sizes}
        return cls(splits.train.spec, sizes, fingerprints)

    def changed(self, now: DataCard) -> list[str]:
        """The splits that have other content now, and what can be said of it, for a person to read."""
        return [
            f"{name} ({_compared(size, now.sizes[name])})"
            for name, size in self.sizes.items()
            if self.fingerprints[name] != now.fingerprints[name]
        ]

    def to_json(self) -> str | None:
        """Return what :meth:`from_json` reads; None for a tokenizer that is not made of plain values.

        >>> from nnxtrain.data.tokenizers import CharTokenizer
        >>> spec = Spec((8,), "int32", vocab_size=2, tokenizer=CharTokenizer("ab"))
        >>> card = DataCard(spec, {"train": 3}, {"train": "1f"})
        >>> DataCard.from_json(card.to_json()) == card
        True
        """
        content = dataclasses.asdict(dataclasses.replace(self, spec=_without_tokenizer(self.spec)))
        if self.spec.tokenizer is not None:
            content["spec"]["tokenizer"] = _node(self.spec.tokenizer)
        try:
            return json.dumps(content, indent=1) + "\n"
        except TypeError:
            return None

    @classmethod
    def read(cls, path: Path, *, packages: Sequence[str] = ()) -> DataCard | None:
        """Return the card in a file; None where there is no file.

        Raises:
          InputError: it is damaged; or as :meth:`from_json`.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), packages=packages)
        except FileNotFoundError:
            return None
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read ({str(error).splitlines()[0]}), so nobody knows whether the data is still that of "
                "the run; bring it back, or remove it to go on without knowing"
            ) from error

    @classmethod
    def from_json(cls, text: str, *, packages: Sequence[str] = ()) -> DataCard:
        """Read a card; ``packages`` are those whose classes its tokenizer may be.

        Raises:
          ValueError: it is no card.
          InputError: the tokenizer's class is not there, or not allowed.
        """
        content = json.loads(text)
        try:
            fields = content["spec"]
            tokenizer = resolve(fields.pop("tokenizer"), packages=packages)
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            spec = Spec(**fields, tokenizer=tokenizer)
            return cls(spec, content["sizes"], content["fingerprints"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a data card") from error


def _compared(then: int, now: int) -> str:
    return f"{then:,} examples then, {now:,} now" if then != now else f"{now:,} examples, others"


def _without_tokenizer(spec: Spec) -> Spec:
    return dataclasses.replace(spec, tokenizer=None)


def _node(tokenizer: Any) -> Any:
    """What builds the tokenizer again; the tokenizer itself, which JSON refuses, if only its code knows."""
    if not dataclasses.is_dataclass(tokenizer) or isinstance(tokenizer, type):
        return tokenizer
    kind = type(tokenizer)
    values = {field.name: getattr(tokenizer, field.name) for field in dataclasses.fields(tokenizer)}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **values}
