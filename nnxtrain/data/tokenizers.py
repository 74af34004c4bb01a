"""From text to token numbers and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from nnxtrain.errors import InputError


class Tokenizer(Protocol):
    """What a ``Spec`` of text carries, so that a prompt can be encoded and a sample read."""

    @property
    def vocab_size(self) -> int:
        """Number of different tokens; tokens are ``0 .. vocab_size - 1``."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, ``int32[N]``."""
        ...

    def decode(self, tokens: ArrayLike) -> str:
        """Return the text of tokens, whole numbers ``[N]``."""
        ...


@dataclass(frozen=True)
class ByteTokenizer:
    """Each byte of the text's UTF-8 form is a token: 256 of them, which know every text.

    Bytes that are no UTF-8, as a model may say them, are read as U+FFFD.

    >>> ByteTokenizer().encode("né").tolist()
    [110, 195, 169]
    >>> ByteTokenizer().decode([110, 195, 169, 195])
    'né�'
    """

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> np.ndarray:
        # Bytes of a command line that are no text reach Python as "surrogates".
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(np.int32)

    def decode(self, tokens: ArrayLike) -> str:
        return checked(tokens, 256).astype(np.uint8).tobytes().decode("utf-8", "replace")


@dataclass(frozen=True)
class CharTokenizer:
    """Each character is a token, by its place in ``characters``.

    Attributes:
      characters: The known characters, each once.
      unknown: Whether all other characters share one further token, the last, which is read as U+FFFD.

    Raises (``encode``):
      InputError: A character is not known and ``unknown`` is False.

    >>> tokenizer = CharTokenizer("abc")
    >>> tokenizer.encode("cab").tolist(), tokenizer.decode([2, 0, 1]), tokenizer.vocab_size
    ([2, 0, 1], 'cab', 3)
    >>> tokenizer.encode("cat")
    Traceback (most recent call last):
    nnxtrain.errors.InputError: the character 't' (U+0074) is not in the vocabulary: 'abc'
    """

    characters: str
    unknown: bool = False

    def __post_init__(self) -> None:
        if len(set(self.characters)) != len(self.characters):
            raise InputError("a vocabulary names each character once")

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + self.unknown

    @cached_property
    def _places(self) -> dict[str, int]:
        return {character: place for place, character in enumerate(self.characters)}

    def encode(self, text: str) -> np.ndarray:
        other = len(self.characters) if self.unknown else -1
        tokens = np.array([self._places.get(character, other) for character in text], np.int32)
        if (tokens < 0).any():
            character = text[int(np.argmin(tokens))]
            known = self.characters if len(self.characters) <= 100 else self.characters[:97] + "..."
            raise InputError(
                f"the character {character!r} (U+{ord(character):04X}) is not in the vocabulary: {known!r}"
            )
        return tokens

    def decode(self, tokens: ArrayLike) -> str:
        characters = self.characters + "\N{REPLACEMENT CHARACTER}"
        return "".join(characters[token] for token in checked(tokens, self.vocab_size).tolist())


def checked(tokens: ArrayLike, vocab_size: int) -> np.ndarray:
    """Return tokens as ``int32[N]``.

    Raises:
      InputError: A token lies outside ``0 .. vocab_size - 1``.
    """
    array = np.asarray(tokens, np.int32).reshape(-1)
    if array.size and not 0 <= array.min() <= array.max() < vocab_size:
        raise InputError(f"tokens lie in 0..{vocab_size - 1}, got {array.min()} to {array.max()}")
    return array
