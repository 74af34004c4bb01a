"""``checkpoint=best|last|STEP``."""

from __future__ import annotations

from nnxtrain.errors import InputError, nearest


def checkpoint_choice(text: str) -> str | int:
    """Return ``best``, ``last`` or the step. Raises InputError for anything else.

    >>> checkpoint_choice("500")
    500
    """
    if text in ("best", "last"):
        return text
    if text.isdecimal():
        return int(text)
    hint = nearest(text, ["best", "last"])
    raise InputError(f"checkpoint={text}: expected best, last or a step such as 500{hint}")
