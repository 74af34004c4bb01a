"""Examples that belong to no data set: image files, arrays, rows of a table, in the form of a run's data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nnxtrain.data.array_files import read_array
from nnxtrain.data.image_files import SUFFIXES, read_image
from nnxtrain.data.paths import nearest_sibling
from nnxtrain.data.resizing import Resize, resized
from nnxtrain.data.source import Batch
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError


class NewExamples(Protocol):
    """What can be predicted: named examples, a batch at a time."""

    @property
    def names(self) -> Sequence[str]:
        """What each example is called: its file, its place in one."""
        ...

    def __len__(self) -> int: ...

    def batch(self, ids: np.ndarray) -> Batch:
        """Return the examples ``ids`` (``int64[B]``): ``input``, and ``label`` or ``target`` where the truth is known."""
        ...


class NewArrays:
    """Examples in arrays by name, each of N rows; see :class:`NewExamples`."""

    def __init__(self, names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
        self.names, self.arrays = names, arrays

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, ids: np.ndarray) -> Batch:
        return {name: array[ids] for name, array in self.arrays.items()}


class NewImages:
    """Image files, decoded when their batch is asked for; see :class:`NewExamples`.

    Args:
      paths: the files.
      shape: ``(height, width, channels)`` to bring them to; one channel means grey.
      resize: how, as :func:`nnxtrain.data.resizing.resized` has it.
    """

    def __init__(self, paths: Sequence[Path], shape: Sequence[int], resize: Resize) -> None:
        self.names = [str(path) for path in paths]
        self._paths, self._shape, self._resize = paths, tuple(shape), resize

    def __len__(self) -> int:
        return len(self._paths)

    def batch(self, ids: np.ndarray) -> Batch:
        # A batch is padded by repeating its last example, which is decoded once.
        wanted, places = np.unique(ids, return_inverse=True)
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(self._image, wanted))
        return {"input": np.stack(images)[places]}

    def _image(self, number: int) -> np.ndarray:
        height, width, channels = self._shape
        image = read_image(self._paths[number], "L" if channels == 1 else "RGB")
        return np.asarray(resized(image, height, width, self._resize)).reshape(self._shape)


def read_examples(paths: Sequence[str], dataset: Any, spec: Spec) -> NewExamples:
    """Return the examples in files as the data set has its own.

    Args:
      paths: ``.npy`` (or ``.npz:NAME``) files of arrays ``[N, *spec.input_shape]``, or of one example; or images; or, where
        the data set has a method ``read``, files of its own kind. Patterns with ``*`` stand for the files they match.
      dataset: a data set, as its configuration builds it.
      spec: its spec.

    Raises:
      InputError: A file is missing, is of no kind that fits the data, or its content does not fit.
    """
    files = [file for path in paths for file in _found(str(path))]
    if all(map(_is_array, files)):
        return joined([from_array(read_array(str(f), "files"), spec, str(f)) for f in files])
    if hasattr(dataset, "read"):
        return dataset.read(files)
    images = len(spec.input_shape) == 3 and spec.input_shape[-1] in (1, 3)
    if not (images and spec.input_dtype == "uint8"):
        raise InputError(
            f"{files[0]}: the run's data are {_form(spec)}; give such arrays in .npy files"
        )
    for file in files:
        if not _is_image(file):
            raise InputError(
                f"{file}: expected images ({', '.join(SUFFIXES)}), or .npy files alone"
            )
    return NewImages(files, spec.input_shape, getattr(dataset, "resize", "squash"))


def images_below(folder: str) -> list[str]:
    """Return the image files in a folder and its sub-folders, sorted; hidden ones are left out.

    Raises:
      InputError: There is no such folder, or no image in it.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InputError(f"folder={folder}: there is no such folder{nearest_sibling(path)}")
    files = sorted(
        file
        for file in path.rglob("*")
        if _is_image(file)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"folder={folder}: no images in it ({', '.join(SUFFIXES)})")
    return [str(file) for file in files]


def from_array(array: np.ndarray, spec: Spec, what: str = "inputs") -> NewArrays:
    """Return the examples of an array ``[N, *spec.input_shape]``, or of one without the first axis.

    Args:
      array: of the spec's dtype, or of numbers that it holds.
      what: names the array in messages and, with a number, its examples.

    Raises:
      InputError: It has another shape or other values.
    """
    if array.shape == tuple(spec.input_shape):
        array = array[None]
    if array.shape[1:] != tuple(spec.input_shape) or array.dtype.kind not in "biuf":
        raise InputError(
            f"{what} is {array.dtype}{list(array.shape)}; the run's data are {_form(spec)}"
        )
    limit = {"uint8": 256, "int32": spec.vocab_size or 2**31}.get(spec.input_dtype)
    if limit and len(array) and not array.dtype == spec.input_dtype == "uint8":
        whole = array.dtype.kind != "f"
        if not (whole and 0 <= array.min() <= array.max() < limit):
            raise InputError(f"{what}: expected whole numbers from 0 to {limit - 1}, {_form(spec)}")
    array = array.astype(spec.input_dtype, copy=False)
    return NewArrays([f"{what}:{row}" for row in range(len(array))], {"input": array})


def joined(parts: Sequence[NewArrays]) -> NewArrays:
    """Return the examples of all parts, with the arrays that all have."""
    if len(parts) == 1:
        return parts[0]
    shared = set.intersection(*(set(part.arrays) for part in parts))
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in shared}
    return NewArrays(list(itertools.chain(*(part.names for part in parts))), arrays)


def _is_array(file: Path) -> bool:
    return file.suffix == ".npy" or ".npz:" in file.name


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _found(path: str) -> list[Path]:
    """The file of that name, or the files that match a pattern."""
    file = Path(path).expanduser()
    if file.is_file() or ".npz:" in file.name:
        return [file]
    if any(letter in file.name for letter in "*?["):
        matching = sorted(f for f in file.parent.glob(file.name) if f.is_file())
        if matching:
            return matching
        raise InputError(f"files={path}: no file matches")
    if file.is_dir():
        raise InputError(f"files={path} is a folder; give folder={path}")
    raise InputError(f"files={path}: there is no such file{nearest_sibling(file)}")


def _form(spec: Spec) -> str:
    return f"{spec.input_dtype}[N, {', '.join(map(str, spec.input_shape))}]"
