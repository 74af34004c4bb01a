"""Plain text, by bytes or by characters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nnxtrain.data.assembly import Division
from nnxtrain.data.paths import Files, existing_files
from nnxtrain.data.source import Splits
from nnxtrain.data.spec import Spec
from nnxtrain.data.token_windows import assemble_windows
from nnxtrain.data.tokenizers import ByteTokenizer, CharTokenizer
from nnxtrain.errors import InputError

_CHUNK = 2**20  # characters read at a time
_CODES = 0x110000  # of Unicode


@dataclass(frozen=True)
class Text:
    """Text files cut into windows, to predict each token from those before it.

    Args:
      train: A text file, or a list of them; no window crosses from a file to the next.
      validation: The same; None takes ``validation_fraction`` from the end of train (before what test takes).
      test: The same; None takes ``test_fraction`` from the end of train.
      level: ``byte``: each byte is a token, files are mapped into memory. ``char``: each character of the train split is
        one, sorted; files are UTF-8, and their tokens are kept in memory, one byte each for up to 255 characters.
      unknown: At level ``char``, what held-out text has beyond train's characters becomes one further token; otherwise it is
        an error.
      length: Tokens in a window.
      stride: From one training window to the next; None is ``length``: each token is learned once in an epoch. 1 makes a
        window at each place, as trainers have it that draw windows at random.
      eval_stride: The same for validation and test; less than ``length`` gives each token a longer context, at more
        computation. Each token counts once in any case.
      validation_fraction, test_fraction: The shares that are taken.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "text.txt")
    >>> _ = path.write_text("to be or not to be " * 100)
    >>> splits = Text(str(path), level="char", length=32).load()
    >>> splits.train.spec.vocab_size, len(splits.train), len(splits.test)
    (7, 47, 6)
    >>> splits.train.spec.tokenizer.decode(splits.train.batch(np.arange(1))["label"][0])
    'o be or not to be to be or not t'
    """

    train: Files
    validation: Files | None = None
    test: Files | None = None
    level: Literal["byte", "char"] = "byte"
    unknown: bool = False
    length: int = 256
    stride: int | None = None
    eval_stride: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1

    def __post_init__(self) -> None:
        if self.level not in ("byte", "char"):
            raise InputError(f"data.level must be byte or char, got {self.level!r}")

    def load(self) -> Splits:
        """Return the three splits; batches are those of ``TokenWindows``. The spec has the ``tokenizer``.

        Raises:
          InputError: A file is missing, too short or no text, or has unknown characters.
        """
        division = Division(self.validation_fraction, self.test_fraction)
        given = {name: getattr(self, name) for name in ("train", "validation", "test")}
        paths = {
            name: existing_files(files, f"data.{name}")
            for name, files in given.items()
            if files is not None
        }
        tokenizer: ByteTokenizer | CharTokenizer
        if self.level == "byte":
            tokenizer = ByteTokenizer()
            streams = {name: [_mapped(path) for path in files] for name, files in paths.items()}
        else:
            tokenizer = CharTokenizer(_characters(paths, division), self.unknown)
            streams = {
                name: [_encoded(path, tokenizer, f"data.{name}") for path in files]
                for name, files in paths.items()
            }
        spec = Spec((self.length,), "int32", vocab_size=tokenizer.vocab_size, tokenizer=tokenizer)
        return assemble_windows(
            streams, division, spec, stride=self.stride, eval_stride=self.eval_stride
        )


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _codes(path: Path) -> Iterator[np.ndarray]:
    """The characters of a file as Unicode numbers, ``uint32``, piece by piece; line ends as they are."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while piece := file.read(_CHUNK):
                yield np.frombuffer(piece.encode("utf-32-le"), "<u4")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason}); take it as bytes with data.level=byte"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _characters(paths: dict[str, list[Path]], division: Division) -> str:
    """The characters of the train split, sorted."""
    first_place = np.full(_CODES, -1)
    size = 0
    for path in paths["train"]:
        for codes in _codes(path):
            if (new := first_place[codes] < 0).any():
                found, places = np.unique(codes[new], return_index=True)
                first_place[found] = size + np.flatnonzero(new)[places]
            size += len(codes)
    _, end = division.tails(size, list(paths))["train"]
    return "".join(map(chr, np.flatnonzero((first_place >= 0) & (first_place < end))))


def _encoded(path: Path, tokenizer: CharTokenizer, key: str) -> np.ndarray:
    """The tokens of a file, in the smallest dtype that holds them."""
    other = len(tokenizer.characters)
    tokens = np.full(_CODES, other, np.min_scalar_type(other))
    tokens[[ord(character) for character in tokenizer.characters]] = np.arange(other)
    pieces = []
    for codes in _codes(path):
        pieces.append(tokens[codes])
        if not tokenizer.unknown and (strange := pieces[-1] == other).any():
            code = int(codes[np.argmax(strange)])
            raise InputError(
                f"{key}: {path} has the character {chr(code)!r} (U+{code:04X}) in a held-out part, and the train split does "
                "not; use data.level=byte, which knows every text, or data.unknown=true, one token for all such"
            )
    return np.concatenate(pieces)
