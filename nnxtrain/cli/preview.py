"""``nnxtrain data preview``: look at what a run would train on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.table import print_table
from nnxtrain.cli.whole_number import whole_number
from nnxtrain.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from nnxtrain.data.spec import Spec

NUMBERS = 8  # of a row are printed


@dataclass(frozen=True)
class DataPreview(Command):
    """Show the first training examples of a configuration, beside what augmentation makes of them.

    They are those that `nnxtrain fit` with the same overrides would see. Images go to a PNG file; of
    texts and tables some are printed.

    examples:
      nnxtrain data preview augment=flip_crop
      nnxtrain data preview config=lenet_fashion_mnist augment=fashion out=fashion.png --force
    """

    overrides: tuple[str, ...] = rest("key=value or group=option, as for fit", metavar="OVERRIDE")
    out: str | None = argument("the picture (default: preview.png)", metavar="FILE.png")
    examples: str = argument("how many (default: 16)", "16", metavar="N")
    step: str = argument(
        "of this training step, from 0 (default: 0), and the next", "0", metavar="N"
    )
    force: bool = flag("overwrite the picture")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain.config import check, compose_with_origins, resolve
        from nnxtrain.storage.atomic_write import atomic_write

        count, step = whole_number("examples", self.examples, 1), whole_number("step", self.step, 0)
        if self.out:
            self._path()  # refused before the data is loaded
        open_packages(self.package)
        composition = compose_with_origins(self.overrides, self.config_dir)
        config = composition.config
        nodes = ("data", "augment")
        check(config, packages=self.package, where=composition.where, nodes=nodes)
        source = resolve(config.data, packages=self.package).load().train
        augment = resolve(config.augment, packages=self.package, spec=source.spec)
        pairs = list(_examples(config, source, augment, step, count))
        if source.spec.unit == "images":
            path = self._path()
            title = " / ".join([config.name or "run", *self.overrides, f"from step {step}"])
            picture = _png(pairs, source.spec, title)
            try:
                atomic_write(path, picture)
            except OSError as error:
                raise InputError(f"out={path}: cannot be written ({error.strerror})") from error
            print(f"picture: {path}")
            return 0
        if self.out:
            raise InputError(f"out={self.out}: only images make a picture; leave it out")
        _print(pairs, source.spec)
        return 0

    def _path(self) -> Path:
        path = Path(self.out or "preview.png")
        if path.suffix.lower() != ".png":
            raise InputError(f"out={path}: expected the name of a .png file")
        if not path.parent.is_dir():
            raise InputError(f"out={path}: there is no folder {path.parent}")
        if path.is_dir() or (path.exists() and not self.force):
            raise InputError(f"{path} exists; give out=OTHER.png, or --force to overwrite it")
        return path


Example = dict[str, "np.ndarray"]


def _examples(
    config: Any, source: Any, augment: Any, step: int, count: int
) -> Iterator[tuple[Example, Example | None]]:
    """Yield each example as stored and as trained on (None where nothing is augmented)."""
    import jax
    import numpy as np

    from nnxtrain.augment import Identity, batch_key
    from nnxtrain.data import batch_ids

    size = min(config.trainer.batch_size, len(source))
    augmented = jax.jit(lambda step, batch: augment(batch_key(config.seed, step), batch))
    while count > 0:
        before = source.batch(batch_ids(config.seed, step, len(source), size))
        after = None
        if not isinstance(augment, Identity):
            after = jax.tree.map(np.asarray, augmented(step, before))
        for row in range(min(count, size)):
            yield _row(before, row), None if after is None else _row(after, row)
        count, step = count - size, step + 1


def _row(batch: dict[str, np.ndarray], row: int) -> Example:
    return {name: values[row] for name, values in batch.items()}


def _png(pairs: list[tuple[Example, Example | None]], spec: Spec, title: str) -> bytes:
    from nnxtrain.data.picture import Tile, sheet

    groups = []
    for pair in pairs:
        shown = [example for example in pair if example is not None]
        groups.append([Tile(e["input"], _caption(e, spec)) for e in shown])
    if pairs[0][1] is not None:
        title += " / left: as stored, right: as trained on"
    file = io.BytesIO()
    sheet(groups, title).save(file, "PNG")
    return file.getvalue()


def _caption(example: Example, spec: Spec) -> str:
    """The class, the classes of a mixture with their shares, or the numbers to predict."""
    if "label" in example and example["label"].ndim == 0:
        return _class(int(example["label"]), spec)
    if "label" in example and example["label"].dtype.kind == "f":
        shares = example["label"]
        parts = [int(c) for c in shares.argsort()[::-1] if shares[c] >= 0.005][:3]
        if len(parts) == 1:
            return _class(parts[0], spec)
        return " / ".join(f"{_class(part, spec)} {shares[part]:.2f}" for part in parts)
    if "target" in example:
        names = spec.target_names or tuple(map(str, range(len(example["target"]))))
        return " / ".join(f"{n} {v:.4g}" for n, v in zip(names, example["target"].tolist()))
    return ""


def _class(label: int, spec: Spec) -> str:
    return spec.class_names[label] if label < len(spec.class_names) else str(label)


def _print(pairs: list[tuple[Example, Example | None]], spec: Spec) -> None:
    """Texts, or the first numbers of rows."""
    if spec.vocab_size is not None:
        for number, (example, _) in enumerate(pairs):
            tokens = example["input"]
            print(f"--- {number}: {len(tokens)} tokens {_caption(example, spec)}".rstrip())
            print(spec.tokenizer.decode(tokens) if spec.tokenizer else tokens.tolist())
        return
    for title, position in (("as stored", 0), ("as trained on", 1)):
        examples = [e for pair in pairs if (e := pair[position]) is not None]
        if not examples:
            continue
        cells = [e["input"].ravel()[:NUMBERS].tolist() for e in examples]
        more = "" if examples[0]["input"].size <= NUMBERS else " ..."
        columns = [*(f"input {i}" for i in range(len(cells[0]))), "says"]
        columns[-2] += more
        rows = [[*map(float, row), _caption(e, spec)] for row, e in zip(cells, examples)]
        print_table(columns, rows, title)
