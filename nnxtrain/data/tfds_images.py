"""Image classification sets from tensorflow-datasets, as random-access splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnxtrain.data.catalog import Entry, lookup
from nnxtrain.data.quiet import quiet
from nnxtrain.data.selection import carve, check_split, split_ids
from nnxtrain.data.source import ArraySource, Splits, Subset
from nnxtrain.data.spec import Spec
from nnxtrain.data.storage import data_directory
from nnxtrain.errors import InputError, RunError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_SPLITS = {"train": "train", "validation": None, "test": "test"}


@dataclass(frozen=True)
class TFDSImages:
    """A data set known by name, with a choice of classes, image size and splits.

    Building one checks its arguments and does nothing else; ``prepare`` and ``load`` do the work.

    Attributes:
      name: ``shapes5``, ``cifar10``, ``cifar100``, ``mnist``, ``fashion_mnist`` or ``kmnist``;
        ``shapes5/tiny`` is a small variant of shapes5.
      classes: Names of the classes to keep; the first becomes label 0, and so on. None keeps all.
      image_size: ``[height, width]`` to resize to; None keeps the size.
      splits: For ``train``, ``validation`` and ``test`` what to take, in tensorflow-datasets' split
        syntax (``"train[:80%]"``, ``"train+test"``). A ``validation`` of None is carved from train.
      validation_fraction: The carved share of train, between 0 and 1.
      split_seed: Decides which examples are carved. Not the run's seed: runs that differ in their
        seed are compared on the same validation examples.
      data_dir: Where data is kept; None means ``$NNXTRAIN_DATA_DIR`` or ``~/.cache/nnxtrain``.
      local_dir: A folder that holds the set's files, so that nothing is downloaded.
      verify_checksum: Whether those files must be the published ones.

    Raises:
      InputError: An argument cannot be used.

    >>> TFDSImages("cifar10", classes=["cat", "dgo"])
    Traceback (most recent call last):
    nnxtrain.errors.InputError: data.classes: cifar10 has no class 'dgo'; did you mean 'dog'?
    """

    name: str
    _: KW_ONLY
    classes: Sequence[str] | None = None
    image_size: Sequence[int] | None = None
    splits: Mapping[str, str | None] = field(default_factory=lambda: dict(_DEFAULT_SPLITS))
    validation_fraction: float = 0.1
    split_seed: int = 0
    data_dir: str | None = None
    local_dir: str | None = None
    verify_checksum: bool = True

    def __post_init__(self) -> None:
        entry, _ = lookup(self.name)
        _check_classes(self.classes, entry)
        _check_image_size(self.image_size)
        _check_splits(self.splits, entry)
        _check_scalars(self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their labels."""
        if self.classes is None:
            return lookup(self.name)[0].class_names
        return tuple(map(str, self.classes))

    def prepare(self) -> Path:
        """Download, check and convert what is not there yet; return the prepared set's folder.

        Raises:
          InputError: Files are missing and cannot be downloaded, or are not what they should be.
          RunError: The download or the disk failed.
        """
        with self._disk_errors(), quiet():
            return Path(self._builder().data_dir)

    def load(self) -> Splits:
        """Return the three splits, preparing the set first where need be.

        A batch has ``input``, ``uint8[B, height, width, channels]``, and ``label``, ``int32[B]``.

        Raises:
          InputError: As ``prepare``; or a split or a choice of classes leaves no examples.
          RunError: The download or the disk failed.
        """
        from nnxtrain.data.decoded import decoded
        from nnxtrain.data.statistics import cached_statistics

        with self._disk_errors(), quiet():
            builder, root = self._builder(), data_directory(self.data_dir)
            data = decoded(builder, self.image_size, root)
            labels = self._relabelled(data.labels, builder)
            parts = self._parts(data.labels, labels, builder.info.splits, data.starts)
            fingerprint = hashlib.sha256(f"{data.digest} {self.class_names}".encode()).hexdigest()
            mean, std = cached_statistics(
                data.images, parts["train"], _with_ids(fingerprint, parts["train"]), root
            )
        spec = Spec(
            input_shape=data.images.shape[1:],
            input_dtype="uint8",
            num_classes=len(self.class_names),
            class_names=self.class_names,
            mean=mean,
            std=std,
        )
        source = ArraySource({"input": data.images, "label": labels}, spec, fingerprint)
        return Splits(**{name: Subset(source, ids) for name, ids in parts.items()})

    def _builder(self) -> Any:
        from nnxtrain.data.prepare import prepare

        entry, variant = lookup(self.name)
        root = data_directory(self.data_dir)
        local = None if self.local_dir is None else Path(self.local_dir).expanduser().absolute()
        return prepare(entry, variant, root, local, self.verify_checksum)

    def _relabelled(self, labels: np.ndarray, builder: Any) -> np.ndarray:
        """Labels as positions in ``class_names``, -1 for a class that is not kept."""
        names = list(builder.info.features["label"].names)
        if sorted(names) != sorted(lookup(self.name)[0].class_names):
            raise InputError(
                f"{builder.data_dir} has other classes than {self.name}: {', '.join(names)[:200]}"
            )
        new = {name: label for label, name in enumerate(self.class_names)}
        return np.array([new.get(name, -1) for name in names], np.int32)[labels]

    def _parts(
        self,
        original: np.ndarray,
        labels: np.ndarray,
        splits: Mapping[str, Any],
        starts: Mapping[str, int],
    ) -> dict[str, np.ndarray]:
        """The example numbers of train, validation and test."""
        parts = {
            part: split_ids(spec, splits, starts, f"data.splits.{part}")
            for part, spec in (_DEFAULT_SPLITS | dict(self.splits)).items()
            if spec is not None
        }
        if "validation" not in parts:
            # By the original labels, so that the choice of classes moves no example across.
            parts["train"], parts["validation"] = carve(
                parts["train"], original[parts["train"]], self.validation_fraction, self.split_seed
            )
        elif shared := len(np.intersect1d(parts["train"], parts["validation"])):
            raise InputError(
                f"data.splits: train and validation share {shared} examples; "
                "use disjoint slices, such as train[:90%] and train[90%:]"
            )
        for part, ids in parts.items():
            parts[part] = ids[labels[ids] >= 0]
            if not len(parts[part]):
                raise InputError(
                    f"data: no {part} examples of {self.name} are left; "
                    "choose other splits or classes"
                )
        return {part: parts[part] for part in _DEFAULT_SPLITS}

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"data set {self.name}: {error}") from error


def _with_ids(fingerprint: str, ids: np.ndarray) -> str:
    return hashlib.sha256(fingerprint.encode() + ids.tobytes()).hexdigest()


def _check_classes(classes: object, entry: Entry) -> None:
    if classes is None:
        return
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise InputError(f"data.classes must be a list of class names, got {classes!r}")
    names = [str(name) for name in classes]  # YAML reads MNIST's "3" as a number
    for name in names:
        if name not in entry.class_names:
            close = nearest(name, entry.class_names)
            known = close or f"; classes: {', '.join(entry.class_names)}"
            raise InputError(f"data.classes: {entry.name} has no class {name!r}{known}")
        if names.count(name) > 1:
            raise InputError(f"data.classes names {name!r} twice")
    if len(names) < 2:
        raise InputError(f"data.classes needs at least two classes, got {names}")


def _check_scalars(dataset: TFDSImages) -> None:
    fraction, seed = dataset.validation_fraction, dataset.split_seed
    if not isinstance(fraction, float | int) or not 0 < fraction < 1:
        raise InputError(f"data.validation_fraction must lie between 0 and 1, got {fraction!r}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"data.split_seed must be a whole number, got {seed!r}")
    if not isinstance(dataset.verify_checksum, bool):
        raise InputError(
            f"data.verify_checksum must be true or false, got {dataset.verify_checksum!r}"
        )
    for name in ("data_dir", "local_dir"):
        path = getattr(dataset, name)
        if path is not None and not isinstance(path, str | os.PathLike):
            raise InputError(f"data.{name} must be a folder, got {path!r}")


def _check_image_size(image_size: object) -> None:
    if image_size is not None and not (
        isinstance(image_size, Sequence)
        and len(image_size) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in image_size)
    ):
        raise InputError(
            f"data.image_size must be [height, width] in pixels, as [32, 32]; got {image_size!r}"
        )


def _check_splits(splits: object, entry: Entry) -> None:
    if not isinstance(splits, Mapping):
        raise InputError(f"data.splits must map train, validation and test, got {splits!r}")
    for part, spec in splits.items():
        if part not in _DEFAULT_SPLITS:
            raise InputError(
                f"data.splits has no part {part!r}{nearest(str(part), _DEFAULT_SPLITS)} "
                f"(parts: {', '.join(_DEFAULT_SPLITS)})"
            )
        if spec is None and part == "validation":
            continue
        if not isinstance(spec, str):
            raise InputError(f"data.splits.{part} must be a split such as {part!r}, got {spec!r}")
        check_split(spec, entry.sizes[entry.default_variant], f"data.splits.{part}")
