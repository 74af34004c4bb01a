"""Image classification sets that nnxtrain knows by name and prepares itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from nnxtrain.data.catalog import lookup
from nnxtrain.data.image_splits import check_classes
from nnxtrain.data.prepared_images import PreparedImages, check_folder
from nnxtrain.data.quiet import quiet
from nnxtrain.data.selection import check_split
from nnxtrain.data.storage import data_directory
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class TFDSImages(PreparedImages):
    """A data set known by name, with a choice of classes, image size and splits.

    Building one checks its arguments and does nothing else; ``prepare`` and ``load`` do the work.

    Attributes:
      name: ``shapes5``, ``cifar10``, ``cifar100``, ``mnist``, ``fashion_mnist`` or ``kmnist``;
        ``shapes5/tiny`` is a small variant of shapes5.
      classes, image_size, splits, validation_fraction, split_seed, data_dir: See ``PreparedImages``.
      local_dir: A folder that holds the set's files, so that nothing is downloaded.
      verify_checksum: Whether those files must be the published ones.

    Raises:
      InputError: An argument cannot be used.

    >>> TFDSImages("cifar10", classes=["cat", "dgo"])
    Traceback (most recent call last):
    nnxtrain.errors.InputError: data.classes: cifar10 has no class 'dgo'; did you mean 'dog'?
    """

    _: KW_ONLY
    local_dir: str | None = None
    verify_checksum: bool = True

    def __post_init__(self) -> None:
        entry, _ = lookup(self.name)
        check_classes(self.classes, entry.name, entry.class_names)
        super().__post_init__()
        for part, spec in self.splits.items():
            if spec is not None:
                check_split(spec, entry.sizes[entry.default_variant], f"data.splits.{part}")
        check_folder(self.local_dir, "data.local_dir")
        if not isinstance(self.verify_checksum, bool):
            raise InputError(
                f"data.verify_checksum must be true or false, got {self.verify_checksum!r}"
            )

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

    def _builder(self) -> Any:
        from nnxtrain.data.prepare import prepare

        entry, variant = lookup(self.name)
        root = data_directory(self.data_dir)
        local = None if self.local_dir is None else Path(self.local_dir).expanduser().absolute()
        return prepare(entry, variant, root, local, self.verify_checksum)

    @property
    def _remedy(self) -> str:
        return f"remove that folder and run: nnxtrain data prepare {lookup(self.name)[0].name}"

    def _kept(self, builder: Any) -> Sequence[str]:
        names = list(builder.info.features["label"].names)
        if sorted(names) != sorted(lookup(self.name)[0].class_names):
            raise InputError(
                f"{builder.data_dir} has other classes than {self.name}: {', '.join(names)[:200]}"
            )
        return self.class_names
