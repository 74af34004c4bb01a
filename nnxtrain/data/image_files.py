"""Image files in folders, a folder for each class: what there is, and what is in a file."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nnxtrain.data.paths import nearest_sibling
from nnxtrain.data.resizing import Resize, resized
from nnxtrain.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_LOG = logging.getLogger(__name__)
_NOTICE_SECONDS = 30
Mode = Literal["RGB", "L"]
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}
_CHUNK = 1024  # files handed to the threads at a time


@dataclass(frozen=True)
class ImageFile:
    """A file as it was found.

    Attributes:
      path: Where it is.
      label: The place of its folder among the class folders.
      stamp: Its path below the folder, size in bytes and time of change in ns: the same for a file that did not change.
    """

    path: Path
    label: int
    stamp: tuple[str, int, int]


def class_folders(folder: Path, key: str) -> list[str]:
    """Return the names of the sub-folders, sorted: the classes. Hidden ones do not count.

    Raises:
      InputError: There is no such folder, it has fewer than two sub-folders, or these are splits and not classes.
    """
    try:
        names = sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")
    except OSError as error:
        close = "" if folder.exists() else nearest_sibling(folder)
        raise InputError(f"{key}: cannot look into {folder}: {error.strerror}{close}") from error
    if names and _SPLIT_NAMES.issuperset(names):
        train = next((name for name in names if name.startswith("train")), names[0])
        raise InputError(
            f"{key}: {folder} has splits in it ({', '.join(names)}), not classes; give each by itself: "
            f"data.train={folder / train}, and data.validation=DIR, data.test=DIR where there are such"
        )
    if len(names) < 2:
        raise InputError(
            f"{key}: {folder} needs a sub-folder for each of two or more classes, it has "
            f"{', '.join(names) or 'none'}"
        )
    return names


def image_files(folder: Path, classes: Sequence[str]) -> list[ImageFile]:
    """Return the images below each class's folder, sorted by class, then by path; links are followed, hidden files and files
    of other kinds left out."""
    return [
        ImageFile(Path(folder, path), label, (path, size, changed))
        for label, name in enumerate(classes)
        for path, size, changed in sorted(_below(folder, name))
    ]


def _below(folder: Path, inner: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder / inner) as entries:
        for entry in entries:
            path = f"{inner}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _below(folder, path)
            elif entry.name.lower().endswith(SUFFIXES):
                status = entry.stat()
                yield path, status.st_size, status.st_mtime_ns


def read_image(path: Path, mode: Mode) -> Image.Image:
    """Return a file's image, upright as its EXIF data say, in ``mode``; of 16 bits the upper 8 are kept.

    Raises:
      InputError: It is no whole image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            file.load()
            image: Image.Image = file
            with suppress(Exception):  # where the orientation cannot be read there is none
                ImageOps.exif_transpose(file, in_place=True)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode == "F":
                raise ValueError("its pixels are fractions")
            elif image.mode == "P":  # a palette's colours may be transparent
                image = image.convert("RGBA")
            return image if image.mode == mode else image.convert(mode)
    except Exception as error:  # Pillow's readers raise a dozen kinds
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path} is not a whole image ({reason}); mend or remove it") from error


def decode_files(
    files: Sequence[ImageFile],
    images: np.ndarray,
    *,
    mode: Mode,
    resize: Resize | None,
) -> None:
    """Decode ``files`` into ``images``, ``uint8[N, height, width, channels]``, by a thread for each core.

    Raises:
      InputError: A file is no whole image; or ``resize`` is None, and it has another size.
    """
    _, height, width, channels = images.shape

    def decode(number: int) -> None:
        path = files[number].path
        image = read_image(path, mode)
        if resize is not None:
            image = resized(image, height, width, resize)
        elif image.size != (width, height):
            raise InputError(
                f"{path} has {image.height}x{image.width} pixels, and {files[0].path} {height}x{width}; bring all to "
                f"one size with data.image_size=[{height},{width}]"
            )
        images[number] = np.asarray(image).reshape(height, width, channels)

    said = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on metadata nobody looks at
        for start in range(0, len(files), _CHUNK):
            end = min(start + _CHUNK, len(files))
            for _ in pool.map(decode, range(start, end)):
                pass
            if time.monotonic() - said > _NOTICE_SECONDS:
                said = time.monotonic()
                _LOG.info("decoded %d of %d images", end, len(files))
