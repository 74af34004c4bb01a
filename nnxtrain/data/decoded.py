"""Decoded images as memory-mapped arrays, made once for a data set and an image size.

Decoding a PNG takes about 0.1 ms, so a data set would cost seconds at each start and far more in
each epoch. A cache entry holds *all* of a data set's splits, one after another; which examples a
split, a slice or a choice of classes takes from it is a matter of indices.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnxtrain.data.source import digest
from nnxtrain.data.storage import locked, make_directory, published
from nnxtrain.errors import InputError

_LOG = logging.getLogger(__name__)
_FULL_CHECK_BYTES = 2**30  # entries up to this size are read and checked whole, about 1 s

Fill = Callable[[np.ndarray, np.ndarray, dict[str, int]], None]


@dataclass(frozen=True)
class Decoded:
    """All examples of a data set: its splits one after another.

    Attributes:
      folder: Where they are kept.
      images: ``uint8[N, H, W, C]``, memory-mapped.
      labels: ``int32[N]``.
      starts: The example number at which each split starts.
      digest: SHA-256 of images and labels.
    """

    folder: Path
    images: np.ndarray
    labels: np.ndarray
    starts: dict[str, int]
    digest: str


def decoded(
    root: Path,
    name: str,
    key: str,
    sizes: Mapping[str, int],
    shape: tuple[int, ...],
    fill: Fill,
) -> Decoded:
    """Return the arrays of a data set, from the cache or decoding them now.

    Args:
      root: The data directory.
      name: Of the set, for people who look at the cache.
      key: A hex digest of all that decides the content.
      sizes: Number of examples of each split.
      shape: ``(height, width, channels)``.
      fill: Called with the empty images, labels and the splits' starts, to fill the arrays.

    Raises:
      InputError: The disk has no room, and what ``fill`` raises.
    """
    target = root / "decoded" / f"{name}-{shape[0]}x{shape[1]}-{key[:16]}"
    if entry := _open(target):
        return entry
    with locked(root, f"decoded-{target.name}"):
        if entry := _open(target):  # made by another process meanwhile
            return entry
        _LOG.info("decoding %s into %s", name, target)
        _check_room(make_directory(target.parent), sum(sizes.values()) * math.prod(shape))
        with published(target) as folder:
            _write(folder, sizes, shape, fill)
        entry = _open(target)
    if entry is None:
        raise InputError(f"{target} does not read back as written; is the disk failing?")
    return entry


def _open(folder: Path) -> Decoded | None:
    """The entry in ``folder``, or None where there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        if len(images) != len(labels) or list(images.shape) != meta["shape"]:
            return None
        if images.nbytes <= _FULL_CHECK_BYTES and digest(images, labels) != meta["digest"]:
            return None
        return Decoded(folder, images, labels, meta["starts"], meta["digest"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _check_room(folder: Path, needed: int) -> None:
    """A mapped file on a full disk would end the process without a word."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the decoded images take {needed / 2**30:.1f} GiB and {folder} has {free / 2**30:.1f} GiB free; choose a "
            "smaller data.image_size, or another disk with data.data_dir=DIR"
        )


def _write(folder: Path, sizes: Mapping[str, int], shape: tuple[int, ...], fill: Fill) -> None:
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist()))
    total = sum(sizes.values())
    images = np.lib.format.open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(total, *shape)
    )
    labels = np.empty(total, np.int32)
    fill(images, labels, starts)
    images.flush()
    np.save(folder / "labels.npy", labels)
    meta = {"shape": list(images.shape), "starts": starts, "digest": digest(images, labels)}
    (folder / "meta.json").write_text(json.dumps(meta))
