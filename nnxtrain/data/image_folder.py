"""Folders of images, a sub-folder for each class."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnxtrain.data.assembly import Division
from nnxtrain.data.decoded import Decoded, decoded
from nnxtrain.data.image_files import (
    SUFFIXES,
    ImageFile,
    Mode,
    class_folders,
    decode_files,
    image_files,
    read_image,
)
from nnxtrain.data.image_splits import image_splits
from nnxtrain.data.resizing import Resize, check_image_size
from nnxtrain.data.source import Splits
from nnxtrain.data.storage import data_directory
from nnxtrain.errors import InputError, RunError, nearest

_FORMAT = 1  # raise it when the same files would give other arrays


@dataclass(frozen=True)
class ImageFolder:
    """JPEG, PNG and other images in folders, ``train/cat/one.jpg``; decoded once, then mapped into memory.

    Args:
      train: A folder with a sub-folder for each class; images may lie deeper. The classes are sorted by name.
      validation: The same, with the same sub-folders; None takes ``validation_fraction`` of train.
      test: The same; None takes ``test_fraction`` of train.
      image_size: ``[height, width]`` to resize to (antialiased, bilinear); None: all images have one size.
      resize: ``squash`` brings an image to that size as it is; ``crop`` keeps its proportions and cuts its middle out.
      mode: ``RGB``, or ``L`` for grey.
      classes: Names of the classes to keep; the first becomes label 0, and so on. None keeps all.
      validation_fraction, test_fraction: The shares that are taken, class by class.
      split_seed: Decides which examples are taken.
      data_dir: Where decoded images are kept; None means ``$NNXTRAIN_DATA_DIR`` or ``~/.cache/nnxtrain``.

    Files are decoded anew when one comes, goes or changes (by path, size and time).

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, grey in (("dark", 20), ("light", 220)):
    ...     (root / "train" / name).mkdir(parents=True)
    ...     for number in range(10):
    ...         Image.new("L", (12, 8), grey).save(root / "train" / name / f"{number}.png")
    >>> splits = ImageFolder(str(root / "train"), image_size=[4, 6], data_dir=str(root)).load()
    >>> splits.train.spec.class_names, splits.train.spec.input_shape, len(splits.train), len(splits.test)
    (('dark', 'light'), (4, 6, 3), 16, 2)
    """

    train: str
    validation: str | None = None
    test: str | None = None
    image_size: Sequence[int] | None = None
    resize: Resize = "squash"
    mode: Mode = "RGB"
    classes: Sequence[str] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    split_seed: int = 0
    data_dir: str | None = None

    def __post_init__(self) -> None:
        check_image_size(self.image_size)
        for name, value, known in (
            ("resize", self.resize, ("squash", "crop")),
            ("mode", self.mode, ("RGB", "L")),
        ):
            if value not in known:
                raise InputError(
                    f"data.{name} must be {' or '.join(known)}, got {value!r}{nearest(str(value), known)}"
                )

    def prepare(self) -> Path:
        """Decode the images that are not decoded yet; return the folder of the arrays.

        Raises:
          InputError: A folder or a file cannot be used.
          RunError: The disk failed.
        """
        return self._decoded()[1].folder

    def load(self) -> Splits:
        """Return the three splits: ``input``, ``uint8[B, height, width, channels]``, and ``label``, ``int32[B]``.

        Raises:
          InputError: A folder or a file cannot be used, or a split has no images.
          RunError: The disk failed.
        """
        division = Division(self.validation_fraction, self.test_fraction, self.split_seed)
        names, data = self._decoded()
        ends = [*data.starts.values(), len(data.images)][1:]
        parts = {name: np.arange(data.starts[name], end) for name, end in zip(data.starts, ends)}
        labels = data.labels[parts["train"]]  # the train split comes first
        parts |= division.of(labels, len(labels), list(data.starts))
        root = data_directory(self.data_dir)
        return image_splits(data, names, self.classes, parts, what=self.train, root=root)

    def _decoded(self) -> tuple[list[str], Decoded]:
        """The names of the classes, and all images."""
        try:
            names, files = self._files()
            found = [file for part in files.values() for file in part]
            shape = self._shape(found[0])
            sizes = {name: len(part) for name, part in files.items()}

            def fill(images: np.ndarray, labels: np.ndarray, starts: dict[str, int]) -> None:
                labels[:] = [file.label for file in found]
                resize = None if self.image_size is None else self.resize
                decode_files(found, images, mode=self.mode, resize=resize)

            key = self._key(names, files, shape)
            place = Path(self.train).expanduser().absolute()
            name = re.sub(r"[^\w.-]", "_", f"{place.parent.name}-{place.name}")[-60:]
            return names, decoded(data_directory(self.data_dir), name, key, sizes, shape, fill)
        except OSError as error:
            raise RunError(f"data set {self.train}: {error}") from error

    def _files(self) -> tuple[list[str], dict[str, list[ImageFile]]]:
        """The names of the classes, and the images of each split that is given."""
        folders = {name: getattr(self, name) for name in ("train", "validation", "test")}
        paths = {name: Path(f).expanduser() for name, f in folders.items() if f is not None}
        classes = {name: class_folders(path, f"data.{name}") for name, path in paths.items()}
        names, files = classes["train"], {}
        for split, path in paths.items():
            if odd := sorted(set(classes[split]) ^ set(names)):
                has, not_there = ("train", split) if odd[0] in names else (split, "train")
                raise InputError(
                    f"data.{split}: the sub-folder {odd[0]!r} is in {paths[has]} and not in {paths[not_there]}"
                    f"{nearest(odd[0], classes[not_there])}; each class needs one in both"
                )
            files[split] = image_files(path, names)
            if not files[split]:
                raise InputError(f"data.{split}: {path} has no images ({', '.join(SUFFIXES)})")
        there = {file.label for file in files["train"]}
        if empty := [name for label, name in enumerate(names) if label not in there]:
            raise InputError(f"data.train: {paths['train'] / empty[0]} has no images")
        return names, files

    def _shape(self, first: ImageFile) -> tuple[int, int, int]:
        channels = 3 if self.mode == "RGB" else 1
        if self.image_size is not None:
            return (self.image_size[0], self.image_size[1], channels)
        width, height = read_image(first.path, self.mode).size
        return (height, width, channels)

    def _key(
        self, names: list[str], files: dict[str, list[ImageFile]], shape: tuple[int, ...]
    ) -> str:
        """A digest of what decides the content: files, options, this code."""
        folders = [os.path.abspath(Path(getattr(self, name)).expanduser()) for name in files]
        stamps = {name: [file.stamp for file in part] for name, part in files.items()}
        resize = None if self.image_size is None else self.resize
        parts = [_FORMAT, folders, names, stamps, shape, resize, self.mode]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
