"""Image sets that tensorflow-datasets has prepared, read without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnxtrain.data.decoded import Decoded, decoded
from nnxtrain.data.image_splits import image_splits
from nnxtrain.data.quiet import quiet
from nnxtrain.data.resizing import check_image_size, resized_array
from nnxtrain.data.selection import carve, split_ids
from nnxtrain.data.source import Splits
from nnxtrain.data.storage import data_directory
from nnxtrain.errors import InputError, RunError, nearest

_DEFAULT_SPLITS = {"train": "train", "validation": None, "test": "test"}
_FORMAT = 1  # raise it when the same input would give other arrays
_CHUNK = 256  # examples decoded at a time


@dataclass(frozen=True)
class PreparedImages:
    """What all such sets have in common; a subclass knows where its builder comes from.

    Attributes:
      name: Of the set.
      classes: Names of the classes to keep; the first becomes label 0, and so on. None keeps all.
      image_size: ``[height, width]`` to resize to; None keeps the size.
      splits: For ``train``, ``validation`` and ``test`` what to take, in tensorflow-datasets' split
        syntax (``"train[:80%]"``, ``"train+test"``). A ``validation`` of None is carved from train.
      validation_fraction: The carved share of train, between 0 and 1.
      split_seed: Decides which examples are carved. Not the run's seed: runs that differ in their
        seed are compared on the same validation examples.
      data_dir: Where data is kept; None means ``$NNXTRAIN_DATA_DIR`` or ``~/.cache/nnxtrain``.

    Raises:
      InputError: An argument cannot be used.
    """

    name: str
    _: KW_ONLY
    classes: Sequence[str] | None = None
    image_size: Sequence[int] | None = None
    splits: Mapping[str, str | None] = field(default_factory=lambda: dict(_DEFAULT_SPLITS))
    validation_fraction: float = 0.1
    split_seed: int = 0
    data_dir: str | None = None

    def __post_init__(self) -> None:
        check_image_size(self.image_size)
        _check_splits(self.splits)
        fraction, seed = self.validation_fraction, self.split_seed
        if not isinstance(fraction, float | int) or not 0 < fraction < 1:
            raise InputError(f"data.validation_fraction must lie between 0 and 1, got {fraction!r}")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise InputError(f"data.split_seed must be a whole number, got {seed!r}")
        check_folder(self.data_dir, "data.data_dir")

    def load(self) -> Splits:
        """Return the three splits, preparing the set first where need be and possible.

        A batch has ``input``, ``uint8[B, height, width, channels]``, and ``label``, ``int32[B]``.

        Raises:
          InputError: The set is not prepared and cannot be; or a split or a choice of classes leaves no examples.
          RunError: The download or the disk failed.
        """
        with self._disk_errors(), quiet():
            builder, root = self._builder(), data_directory(self.data_dir)
            classes = self._kept(builder)
            data = decoded_set(builder, self.image_size, root, self._remedy)
            parts = self._parts(data, builder.info.splits)
            names = list(builder.info.features["label"].names)
            return image_splits(data, names, classes, parts, what=self.name, root=root)

    def _builder(self) -> Any:
        """The set's builder; its examples are there, with the features ``image`` and ``label``."""
        raise NotImplementedError

    @property
    def _remedy(self) -> str:
        """What to do where the set is damaged."""
        raise NotImplementedError

    def _kept(self, builder: Any) -> Sequence[str] | None:
        """The classes to keep, in the order of their labels; None keeps all, in the builder's order."""
        return self.classes

    def _parts(self, data: Decoded, splits: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The example numbers of train, validation and test."""
        parts = {
            part: split_ids(spec, splits, data.starts, f"data.splits.{part}")
            for part, spec in (_DEFAULT_SPLITS | dict(self.splits)).items()
            if spec is not None
        }
        if "validation" not in parts:
            # By the original labels, so that the choice of classes moves no example across.
            parts["train"], parts["validation"] = carve(
                parts["train"],
                data.labels[parts["train"]],
                self.validation_fraction,
                self.split_seed,
            )
        elif shared := len(np.intersect1d(parts["train"], parts["validation"])):
            raise InputError(
                f"data.splits: train and validation share {shared} examples; "
                "use disjoint slices, such as train[:90%] and train[90%:]"
            )
        return parts

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"data set {self.name}: {error}") from error


def decoded_set(builder: Any, image_size: Sequence[int] | None, root: Path, remedy: str) -> Decoded:
    """Return the arrays of a prepared set, from the cache or decoding them now.

    Args:
      builder: A prepared tensorflow-datasets builder with features ``image`` and ``label``.
      image_size: ``(height, width)`` to resize to (antialiased, bilinear); None keeps the size.
      root: The data directory.
      remedy: What to do where the prepared set is damaged.

    Raises:
      InputError: The prepared set cannot be read.
    """
    height, width, channels = builder.info.features["image"].shape
    shape = (*(image_size or (height, width)), channels)
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}

    def fill(images: np.ndarray, labels: np.ndarray, starts: dict[str, int]) -> None:
        for name, start in starts.items():
            examples = _examples(builder, name, sizes[name], remedy)
            for position, example in enumerate(examples, start):
                images[position] = resized_array(example["image"], shape)
                labels[position] = example["label"]

    return decoded(root, builder.name, _key(builder, shape, root), sizes, shape, fill)


def _key(builder: Any, shape: tuple[int, ...], root: Path) -> str:
    """A digest of what decides the content: the files of the prepared set, the shape, this code."""
    folder = Path(builder.data_dir)
    files = [(p.name, p.stat().st_size) for p in sorted(folder.iterdir())]
    info = (folder / "dataset_info.json").read_bytes()
    # The cache moves with the data directory.
    place = folder.relative_to(root) if folder.is_relative_to(root) else folder
    parts = [_FORMAT, str(place), files, shape]
    return hashlib.sha256(json.dumps(parts).encode() + info).hexdigest()


def _examples(builder: Any, split: str, size: int, remedy: str) -> Iterator[dict[str, Any]]:
    if not size:  # tensorflow-datasets cannot open a split without examples
        return
    try:
        source = builder.as_data_source(split=split)
        for start in range(0, size, _CHUNK):
            yield from source.__getitems__(range(start, min(start + _CHUNK, size)))
    except Exception as error:
        raise InputError(
            f"the prepared set in {builder.data_dir} cannot be read "
            f"({type(error).__name__}: {str(error)[:100]}); {remedy}"
        ) from error


def check_folder(path: object, key: str) -> None:
    """Raise an InputError unless ``path`` is None or may be a folder's name."""
    if path is not None and not isinstance(path, str | os.PathLike):
        raise InputError(f"{key} must be a folder, got {path!r}")


def _check_splits(splits: object) -> None:
    if not isinstance(splits, Mapping):
        raise InputError(f"data.splits must map train, validation and test, got {splits!r}")
    for part, spec in splits.items():
        if part not in _DEFAULT_SPLITS:
            raise InputError(
                f"data.splits has no part {part!r}{nearest(str(part), _DEFAULT_SPLITS)} "
                f"(parts: {', '.join(_DEFAULT_SPLITS)})"
            )
        if not isinstance(spec, str) and not (spec is None and part == "validation"):
            raise InputError(f"data.splits.{part} must be a split such as {part!r}, got {spec!r}")
