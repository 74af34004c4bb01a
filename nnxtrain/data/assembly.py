"""From arrays to a data set: the parts that are not given are taken from train, and the spec is read off the arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnxtrain.data.selection import carve
from nnxtrain.data.source import ArraySource, Splits, Subset, check_lengths
from nnxtrain.data.spec import Spec
from nnxtrain.data.statistics import channel_statistics, class_counts, row_ranges
from nnxtrain.errors import InputError

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Division:
    """How a validation and a test split are taken from train where there are none.

    Attributes:
      validation, test: Their shares of train, taken class by class where there are labels.
      seed: Decides which examples are taken.
    """

    validation: float
    test: float
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0 < share < 1:
                raise InputError(f"data.{name}_fraction must lie between 0 and 1, got {share!r}")
        if self.validation + self.test >= 1:
            raise InputError("data: validation_fraction and test_fraction leave nothing for train")

    def of(
        self, labels: np.ndarray | None, size: int, given: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """The example numbers of train, and of what is taken from it.

        The test split is taken first, so that it stays the same when the validation share changes.
        """
        left, parts = np.arange(size), {}
        for name, salt in (("test", 1), ("validation", 0)):
            if name not in given:
                classes = np.zeros(len(left), np.int64) if labels is None else labels[left]
                share = getattr(self, name) * size / max(len(left), 1)
                left, parts[name] = carve(left, classes, share, self.seed + salt)
        return {"train": left, **parts}

    def tails(self, size: int, given: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Where train and what is taken from it begin and end, for examples whose order means something.

        >>> Division(0.2, 0.1).tails(10, ["train"])
        {'train': (0, 7), 'validation': (7, 9), 'test': (9, 10)}
        """
        shares = {"test": self.test, "validation": self.validation}
        parts, end = {}, size
        for name in (name for name in shares if name not in given):
            start = end - round(size * shares[name])
            parts[name], end = (start, end), start
        return dict(reversed((parts | {"train": (0, end)}).items()))


def assemble(
    given: Mapping[str, Arrays],
    division: Division,
    *,
    class_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    vocab_size: int | None = None,
) -> Splits:
    """Return the splits of a data set.

    Args:
      given: The arrays of ``train``, and of ``validation`` and ``test`` where there are such; see ``ArraySource``.
      division: How the splits that are not given are taken from train.
      class_names: In the order of the labels; None calls them by their numbers.
      target_names: In the order of the targets; None calls them by their numbers.
      vocab_size: Where inputs are tokens, the number of different ones.

    Raises:
      InputError: The arrays do not fit together, a label is none of the classes, a number is not finite, or a split would
        be empty.

    >>> arrays = {"input": np.arange(20.0, dtype=np.float32)[:, None], "target": np.arange(20.0)[:, None]}
    >>> splits = assemble({"train": arrays}, Division(0.1, 0.2, 0))
    >>> len(splits.train), len(splits.validation), len(splits.test), splits.train.spec.target_names
    (14, 2, 4, ('0',))
    """
    for name, arrays in given.items():
        check_lengths(arrays, f"data.{name}")
    train = given["train"]
    classes = _classes(train, class_names)
    ids = division.of(train.get("label"), len(train["input"]), list(given))
    mean, std = channel_statistics(train["input"], ids["train"])
    spec = Spec(
        input_shape=train["input"].shape[1:],
        input_dtype=str(train["input"].dtype),
        mean=mean,
        std=std,
        vocab_size=vocab_size,
        **classes,
        **_targets(train, target_names),
    )
    for name, arrays in given.items():
        _check(arrays, spec, f"data.{name}")
    if "label" in train:
        spec = replace(
            spec, class_counts=class_counts(train["label"][ids["train"]], len(spec.class_names))
        )
    sources = {name: ArraySource(arrays, spec) for name, arrays in given.items()}
    splits = {name: Subset(sources["train"], part) for name, part in ids.items()} | {
        name: source for name, source in sources.items() if name != "train"
    }
    for name, source in splits.items():
        if not len(source):
            raise InputError(
                f"data: no {name} examples; give data.{name}, or more training examples"
            )
    return Splits(**splits)


def _check(arrays: Arrays, spec: Spec, key: str) -> None:
    """Refuse what would spoil a run from its first step on."""
    labels = arrays.get("label")
    if labels is not None and len(labels):
        for label in (int(labels.min()), int(labels.max())):
            if not 0 <= label < (spec.num_classes or 0):
                where = int(np.flatnonzero(labels == label)[0])
                raise InputError(
                    f"{key}: example {where} has label {label}, but there are {spec.num_classes} classes, 0 to "
                    f"{(spec.num_classes or 0) - 1}"
                )
    lengths = arrays.get("length")
    if lengths is not None and len(lengths):
        steps = spec.input_shape[0]
        if lengths.dtype.kind not in "iu" or not 1 <= lengths.min() <= lengths.max() <= steps:
            raise InputError(
                f"{key}: lengths must be whole numbers from 1 to {steps}, the steps of an input; got {lengths.dtype} from "
                f"{lengths.min()} to {lengths.max()}"
            )
    for name in ("input", "target"):
        array = arrays.get(name)
        if array is None or not np.issubdtype(array.dtype, np.inexact):
            continue
        for rows in row_ranges(len(array), array):
            bad = ~np.isfinite(array[rows]).reshape(-1, array[0].size).all(1)
            if bad.any():
                where = rows.start + int(np.flatnonzero(bad)[0])
                raise InputError(f"{key}: the {name} of example {where} is not finite (NaN or Inf)")


def _classes(arrays: Arrays, names: Sequence[str] | None) -> dict:
    labels = arrays.get("label")
    if labels is None:
        return {}
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise InputError(
            f"data: labels must be whole numbers [N], got {labels.dtype}{list(labels.shape)}"
        )
    if names is None:
        names = [str(number) for number in range(int(labels.max()) + 1)]
    if len(names) < 2:
        raise InputError(
            f"data: labels of two or more classes are needed, there is one ({', '.join(map(str, names))})"
        )
    return {"num_classes": len(names), "class_names": tuple(map(str, names))}


def _targets(arrays: Arrays, names: Sequence[str] | None) -> dict:
    targets = arrays.get("target")
    if targets is None:
        return {}
    if names is None:
        names = [str(number) for number in range(targets.shape[-1])]
    if len(names) != targets.shape[-1]:
        raise InputError(f"data: {targets.shape[-1]} targets an example but {len(names)} names")
    return {"target_names": tuple(map(str, names))}
