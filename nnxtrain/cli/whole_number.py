"""``name=N`` of a command."""

from __future__ import annotations

from nnxtrain.errors import InputError


def whole_number(name: str, text: str, least: int) -> int:
    """Return the number that an argument gives. Raises InputError for anything else, and for less than ``least``.

    >>> whole_number("batch", "32", 1)
    32
    """
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{name}={text}: expected a whole number, at least {least}")
    return int(text)
