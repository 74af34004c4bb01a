"""Static values as short text on one line."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np


def static_text(value: Any, limit: int = 60) -> str:
    """Write a static value on one line of at most ``limit`` characters; functions and types by their name.

    >>> import jax.numpy as jnp
    >>> static_text(jnp.float32), static_text(max), static_text((1, "a")), static_text({"f": min})
    ('float32', 'max', "(1, 'a')", "{'f': min}")
    """
    text = " ".join(_text(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, partial):
        parts = [_text(value.func), *map(_text, value.args)]
        return (
            f"partial({', '.join(parts + [f'{k}={_text(v)}' for k, v in value.keywords.items()])})"
        )
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join(map(_text, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_text(v)}' for k, v in value.items())}}}"
    if isinstance(value, jax.sharding.PartitionSpec):
        return f"P({', '.join(map(repr, value))})"
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and not dataclasses.is_dataclass(value):
        return name
    if isinstance(value, type):
        return value.__name__
    try:
        return repr(value)
    except Exception:  # a broken __repr__ of a user's class must not hide the rest of the model
        return f"<{type(value).__name__}>"
