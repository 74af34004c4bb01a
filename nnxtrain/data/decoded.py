"""Decoded images as memory-mapped arrays, made once for a data set and an image size.

Decoding a PNG takes about 0.1 ms, so a data set would cost seconds at each start and far more in
each epoch. A cache entry holds *all* of a data set's splits, one after another; which examples a
split, a slice or a choice of classes takes from it is a matter of indices.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnxtrain.data.source import digest
from nnxtrain.data.storage import locked, published
from nnxtrain.errors import InputError

_LOG = logging.getLogger(__name__)
_FORMAT = 1  # raise it when the same input would give other arrays
_CHUNK = 256  # examples decoded at a time
_FULL_CHECK_BYTES = 2**30  # entries up to this size are read and checked whole, about 1 s


@dataclass(frozen=True)
class Decoded:
    """All examples of a data set: its splits one after another.

    Attributes:
      images: ``uint8[N, H, W, C]``, memory-mapped.
      labels: ``int32[N]``.
      starts: The example number at which each split starts.
      digest: SHA-256 of images and labels.
    """

    images: np.ndarray
    labels: np.ndarray
    starts: dict[str, int]
    digest: str


def decoded(builder: Any, image_size: Sequence[int] | None, root: Path) -> Decoded:
    """Return the arrays of a prepared set, from the cache or decoding them now.

    Args:
      builder: A prepared tensorflow-datasets builder with features ``image`` and ``label``.
      image_size: ``(height, width)`` to resize to (antialiased, bilinear); None keeps the size.
      root: The data directory.

    Raises:
      InputError: The prepared set cannot be read.
    """
    height, width, channels = builder.info.features["image"].shape
    shape = (*(image_size or (height, width)), channels)
    key = _key(builder, shape, root)
    target = root / "decoded" / f"{builder.name}-{shape[0]}x{shape[1]}-{key[:16]}"
    if entry := _open(target):
        return entry
    with locked(root, f"decoded-{target.name}"):
        if entry := _open(target):  # made by another process meanwhile
            return entry
        _LOG.info("decoding %s into %s", builder.name, target)
        with published(target) as folder:
            _write(folder, builder, shape)
        entry = _open(target)
    if entry is None:
        raise InputError(f"{target} does not read back as written; is the disk failing?")
    return entry


def _key(builder: Any, shape: tuple[int, ...], root: Path) -> str:
    """A digest of what decides the content: the files of the prepared set, the shape, this code."""
    folder = Path(builder.data_dir)
    files = [(p.name, p.stat().st_size) for p in sorted(folder.iterdir())]
    info = (folder / "dataset_info.json").read_bytes()
    parts = [_FORMAT, str(folder.relative_to(root)), files, shape]
    return hashlib.sha256(json.dumps(parts).encode() + info).hexdigest()


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
        return Decoded(images, labels, meta["starts"], meta["digest"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _write(folder: Path, builder: Any, shape: tuple[int, ...]) -> None:
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist()))
    total = sum(sizes.values())
    images = np.lib.format.open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(total, *shape)
    )
    labels = np.empty(total, np.int32)
    for name, start in starts.items():
        for position, example in enumerate(_examples(builder, name, sizes[name]), start):
            images[position] = _resized(example["image"], shape)
            labels[position] = example["label"]
    images.flush()
    np.save(folder / "labels.npy", labels)
    meta = {"shape": list(images.shape), "starts": starts, "digest": digest(images, labels)}
    (folder / "meta.json").write_text(json.dumps(meta))


def _examples(builder: Any, split: str, size: int) -> Iterator[dict[str, Any]]:
    if not size:  # tensorflow-datasets cannot open a split without examples
        return
    try:
        source = builder.as_data_source(split=split)
        for start in range(0, size, _CHUNK):
            yield from source.__getitems__(range(start, min(start + _CHUNK, size)))
    except Exception as error:
        raise InputError(
            f"the prepared set in {builder.data_dir} cannot be read "
            f"({type(error).__name__}: {str(error)[:100]}); remove that folder and run: "
            f"nnxtrain data prepare {builder.name}"
        ) from error


def _resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if image.shape == shape:
        return image
    from PIL import Image

    height, width, channels = shape
    flat = image[..., 0] if channels == 1 else image  # Pillow keeps grey images without an axis
    # Pillow widens the bilinear filter when it scales down: antialiased.
    resized = Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(shape)
