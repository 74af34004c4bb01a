"""Files of token numbers, as other programs' tokenizers leave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nnxtrain.data.assembly import Division
from nnxtrain.data.paths import Files, existing_files
from nnxtrain.data.source import Splits
from nnxtrain.data.spec import Spec
from nnxtrain.data.token_windows import assemble_windows
from nnxtrain.data.tokenizers import Tokenizer
from nnxtrain.errors import InputError

_CHUNK = 2**22  # tokens looked at at a time
_DTYPES = ("uint8", "uint16", "uint32", "int32", "int64")


@dataclass(frozen=True)
class Tokens:
    """Token numbers in ``.npy`` files, or raw in ``.bin`` files, mapped into memory and cut into windows.

    Args:
      train: A file, or a list of them; no window crosses from a file to the next.
      validation: The same; None takes ``validation_fraction`` from the end of train (before what test takes).
      test: The same; None takes ``test_fraction`` from the end of train.
      vocab_size: Number of different tokens; None reads it off train: the largest token there, plus one.
      dtype: Of ``.bin`` files, in this machine's byte order; a ``.npy`` says its own.
      header_bytes: At the beginning of each ``.bin`` file, to be skipped.
      length, stride, eval_stride: As in ``Text``.
      validation_fraction, test_fraction: The shares that are taken.
      tokenizer: What made the tokens, with the methods of ``nnxtrain.data.Tokenizer``, where text is to be generated.

    Reading it checks each token once, so the first step comes after one pass over the files.

    >>> import tempfile
    >>> path = str(Path(tempfile.mkdtemp(), "tokens.bin"))
    >>> np.arange(1000, dtype=np.uint16).tofile(path)
    >>> splits = Tokens(path, vocab_size=50257, length=100).load()
    >>> len(splits.train), len(splits.test), splits.train.batch(np.array([1]))["input"][0, :3].tolist()
    (7, 1, [100, 101, 102])
    """

    train: Files
    validation: Files | None = None
    test: Files | None = None
    vocab_size: int | None = None
    dtype: Literal["uint8", "uint16", "uint32", "int32", "int64"] = "uint16"
    header_bytes: int = 0
    length: int = 1024
    stride: int | None = None
    eval_stride: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    tokenizer: Tokenizer | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise InputError(f"data.dtype must be one of {', '.join(_DTYPES)}, got {self.dtype!r}")
        if self.header_bytes < 0:
            raise InputError(f"data.header_bytes must not be negative, got {self.header_bytes}")

    def load(self) -> Splits:
        """Return the three splits; batches are those of ``TokenWindows``.

        Raises:
          InputError: A file is missing, too short or not of whole tokens, or a token is none of the vocabulary.
        """
        division = Division(self.validation_fraction, self.test_fraction)
        given = {name: getattr(self, name) for name in ("train", "validation", "test")}
        streams = {
            name: [
                self._mapped(path, f"data.{name}") for path in existing_files(files, f"data.{name}")
            ]
            for name, files in given.items()
            if files is not None
        }
        extents = {name: [_extent(tokens) for tokens in parts] for name, parts in streams.items()}
        size = self.vocab_size
        if size is None and self.tokenizer is not None:
            size = self.tokenizer.vocab_size
        if size is None:
            size = max(most for _, most in extents["train"]) + 1
        if not 1 <= size < 2**31:
            raise InputError(f"data: vocab_size {size} is out of range; is data.dtype right?")
        for name, parts in streams.items():
            for tokens, extent in zip(parts, extents[name]):
                _check(tokens, extent, size, f"data.{name}")
        spec = Spec((self.length,), "int32", vocab_size=size, tokenizer=self.tokenizer)
        return assemble_windows(
            streams, division, spec, stride=self.stride, eval_stride=self.eval_stride
        )

    def _mapped(self, path: Path, key: str) -> np.ndarray:
        try:
            if path.suffix == ".npy":
                tokens = np.load(path, mmap_mode="r", allow_pickle=False)
            else:
                tokens = np.memmap(path, self.dtype, "r", self.header_bytes)
        except (ValueError, EOFError, OSError) as error:
            kind = "a whole .npy file" if path.suffix == ".npy" else f"a file of {self.dtype}"
            raise InputError(f"{key}: {path} is not {kind} ({error})") from error
        if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer) or not len(tokens):
            raise InputError(
                f"{key}: {path} must hold whole numbers [N], got {tokens.dtype}{list(tokens.shape)}"
            )
        return tokens


def _extent(tokens: np.ndarray) -> tuple[int, int]:
    """The smallest and the largest token, in one pass over the file."""
    parts = [tokens[start : start + _CHUNK] for start in range(0, len(tokens), _CHUNK)]
    extents = [(int(part.min()), int(part.max())) for part in parts]
    return min(least for least, _ in extents), max(most for _, most in extents)


def _check(tokens: np.ndarray, extent: tuple[int, int], vocab_size: int, key: str) -> None:
    for token in extent:
        if not 0 <= token < vocab_size:
            place = int(np.argmax(tokens == token))
            name = getattr(tokens, "filename", None)
            raise InputError(
                f"{key}: token {place} of {name} is {token}, but tokens lie in 0..{vocab_size - 1}; are data.dtype and "
                "data.vocab_size right?"
            )
