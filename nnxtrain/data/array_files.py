"""Data sets in NumPy's own files: ``.npy``, and ``.npz`` with several arrays in it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnxtrain.data.assembly import Division, assemble
from nnxtrain.data.paths import existing_file
from nnxtrain.data.source import Splits
from nnxtrain.errors import InputError, nearest

Files = str | Mapping[str, str]


@dataclass(frozen=True)
class ArrayFiles:
    """A data set of arrays, mapped into memory and read as batches need them.

    Args:
      train: A ``.npz`` with arrays named ``input`` and ``label`` (or ``target``), or for each such name a file:
        ``{input: x.npy, label: y.npy}``; ``file.npz:name`` is one array of a ``.npz``. Images are
        ``uint8[N, height, width, channels]``, other inputs ``float32[N, ...]`` or ``[N]`` (numbers of other kinds are
        read into memory and become such); labels are whole numbers ``[N]``, targets numbers ``[N]`` or ``[N, targets]``.
        Of sequences ``length``, whole numbers ``[N]``, may say how many steps count.
      validation: The same; None takes ``validation_fraction`` of train.
      test: The same; None takes ``test_fraction`` of train.
      class_names: In the order of the labels; None calls them by their numbers.
      vocab_size: For inputs that are tokens, whole numbers ``[N, length]``: how many different ones there are.
      validation_fraction, test_fraction: The shares that are taken, class by class.
      split_seed: Decides which examples are taken.

    An uncompressed ``.npz`` (``np.savez``) is mapped as a ``.npy`` is; a compressed one is read into memory.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.npz")
    >>> np.savez(path, input=np.zeros((20, 8, 8, 1), np.uint8), label=np.arange(20) % 2)
    >>> splits = ArrayFiles(path).load()
    >>> len(splits.train), len(splits.validation), len(splits.test), splits.train.spec.num_classes
    (16, 2, 2, 2)
    """

    train: Files
    validation: Files | None = None
    test: Files | None = None
    class_names: Sequence[str] | None = None
    vocab_size: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    split_seed: int = 0

    def load(self) -> Splits:
        """Return the three splits.

        Raises:
          InputError: A file is missing or damaged, or the arrays do not fit together.
        """
        given = {name: getattr(self, name) for name in ("train", "validation", "test")}
        arrays = {
            name: _read(files, f"data.{name}", self.vocab_size)
            for name, files in given.items()
            if files is not None
        }
        division = Division(self.validation_fraction, self.test_fraction, self.split_seed)
        return assemble(arrays, division, class_names=self.class_names, vocab_size=self.vocab_size)


def _read(files: Files, key: str, vocab_size: int | None) -> dict[str, np.ndarray]:
    """The arrays of one split, by name."""
    if isinstance(files, Mapping):
        arrays = {name: read_array(str(file), f"{key}.{name}") for name, file in files.items()}
    elif str(files).endswith(".npz"):
        path = existing_file(files, key)
        arrays = {name: _member(path, name, key) for name in _members(path, key)}
    else:
        raise InputError(
            f"{key}: expected a .npz file or {{input: FILE, label: FILE}}, got {files!r}"
        )
    if "input" not in arrays:
        raise InputError(
            f"{key} has no array 'input'{nearest('input', arrays)}; it has {', '.join(arrays)}. Say which is which: "
            f"{key}={{input: FILE.npz:NAME, label: FILE.npz:NAME}}"
        )
    if not {"label", "target"} & set(arrays):
        raise InputError(f"{key} has neither 'label' nor 'target'; it has {', '.join(arrays)}")
    for name, array in arrays.items():
        if not array.ndim or not len(array):
            raise InputError(f"{key}: {name} has no rows, it is {array.dtype}{list(array.shape)}")
        if name in ("input", "target") and (array.dtype.kind not in "biuf" or not array.size):
            raise InputError(f"{key}: {name} must be numbers, got {array.dtype}{list(array.shape)}")
    if "target" in arrays:
        arrays["target"] = _columns(arrays["target"])
        if arrays["target"].ndim != 2:
            raise InputError(
                f"{key}: targets are numbers [N] or [N, targets], got {list(arrays['target'].shape)}"
            )
    if vocab_size is not None:
        arrays["input"] = _tokens(arrays["input"], vocab_size, key)
    else:
        if arrays["input"].dtype not in (np.uint8, np.float32):
            arrays["input"] = arrays["input"].astype(np.float32)
        arrays["input"] = _columns(arrays["input"])
    return arrays


def _columns(array: np.ndarray) -> np.ndarray:
    """Numbers [N] as [N, 1], one for each example."""
    return array[:, None] if array.ndim == 1 else array


def _tokens(array: np.ndarray, vocab_size: int, key: str) -> np.ndarray:
    """The same as ``int32``."""
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise InputError(
            f"{key}: with data.vocab_size inputs are whole numbers [N, length], got {array.dtype}{list(array.shape)}"
        )
    if array.size and not 0 <= array.min() <= array.max() < vocab_size:
        raise InputError(
            f"{key}: tokens are 0 to {vocab_size - 1} by data.vocab_size, and there are {array.min()} to {array.max()}"
        )
    return array.astype(np.int32, copy=False)


def read_array(file: str, key: str) -> np.ndarray:
    """The array that ``file.npy`` or ``file.npz:name`` holds."""
    name, colon, member = file.rpartition(":")
    if colon and name.endswith(".npz"):
        path = existing_file(name, key)
        known = _members(path, key)
        if member not in known:
            raise InputError(
                f"{key}: {name} has no array {member!r}{nearest(member, known)}; it has {', '.join(known)}"
            )
        return _member(path, member, key)
    path = existing_file(file, key)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{key}: {file} is not a whole .npy file ({error})") from error


def _members(path: Path, key: str) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{key}: {path} is not a whole .npz file ({error})") from error


def _member(path: Path, name: str, key: str) -> np.ndarray:
    """An array of a ``.npz``: mapped where it lies there uncompressed, else read."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as member:
                if info.compress_type != zipfile.ZIP_STORED:
                    return np.lib.format.read_array(member, allow_pickle=False)
                version = np.lib.format.read_magic(member)
                read_header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran, dtype = read_header(member)
                header = member.tell()
        with path.open("rb") as file:  # a member's own header comes first, whose length is in it
            file.seek(info.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{key}: {name} in {path} cannot be read ({error})") from error
    offset = info.header_offset + 30 + int(lengths.sum()) + header
    if dtype.hasobject:
        raise InputError(f"{key}: {name} in {path} holds Python objects; save numbers")
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
