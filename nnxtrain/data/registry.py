"""What data sets there are, and which of them are on this machine: ``nnxtrain data list``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnxtrain.data.catalog import CATALOG
from nnxtrain.data.storage import data_directory


@dataclass(frozen=True)
class Row:
    """A known data set.

    Attributes:
      name: What ``TFDSImages`` and tensorflow-datasets call it.
      class_names: In the order of the labels.
      sizes: Number of examples of each split.
      image_shape: ``(height, width, channels)``.
      origin: Where it comes from.
      prepared: The folder it lies in, or None where it is not prepared.
    """

    name: str
    class_names: tuple[str, ...]
    sizes: dict[str, int]
    image_shape: tuple[int, int, int]
    origin: str
    prepared: Path | None


def known_sets(data_dir: str | None = None) -> list[Row]:
    """Return a row for each known data set; imports and prepares nothing.

    >>> [row.name for row in known_sets("/nonexistent")][:2]
    ['shapes5', 'cifar10']
    """
    prepared = data_directory(data_dir) / "prepared"
    rows = []
    for entry in CATALOG.values():
        folder = entry.directory(prepared, entry.default_variant)
        rows.append(
            Row(
                name=entry.name,
                class_names=entry.class_names,
                sizes=entry.sizes[entry.default_variant],
                image_shape=entry.image_shape,
                origin=entry.origin,
                # The whole set is moved in place at once: where this file is, all of it is.
                prepared=folder if (folder / "dataset_info.json").is_file() else None,
            )
        )
    return rows
