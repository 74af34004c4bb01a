"""Arguments and results as short text: the types of arrays, in their nesting."""

from __future__ import annotations

from typing import Any

from nnxtrain.nnx.inspection.outline import items_of
from nnxtrain.nnx.inspection.static_text import static_text
from nnxtrain.nnx.inspection.summaries import type_text
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.variable.variable import Variable


def tree_text(value: Any) -> str:
    """One line for an array or a static value; for a pytree a line for each leaf, under keys and dashes.

    >>> import jax.numpy as jnp
    >>> print(tree_text({"logits": jnp.ones((1, 3)), "carry": (jnp.ones(2), None)}))
    logits: float32[1,3]
    carry:
      - float32[2]
      - None
    """
    return "\n".join(_lines(value))


def arguments_text(args: tuple, kwargs: dict) -> str:
    """The arguments of a call; a single one stands by itself."""
    lines = _lines(args[0] if len(args) == 1 else args) if args else []
    return "\n".join([*lines, *_named_lines(list(kwargs.items()))])


def _lines(value: Any) -> list[str]:
    if isinstance(value, Variable):
        value = value._value
    if isinstance(value, Object):
        return [f"{type(value).__name__}(...)"]
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return [type_text(value)]
    items = items_of(value)
    if items is None:
        return [static_text(value, 40)]
    return _named_lines(items)


def _named_lines(items: list[tuple[Any, Any]]) -> list[str]:
    result: list[str] = []
    for key, child in items:
        lines = _lines(child)
        if isinstance(key, int):
            result += [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]
        elif len(lines) == 1:
            result.append(f"{key}: {lines[0]}")
        else:
            result += [f"{key}:", *(f"  {line}" for line in lines)]
    return result
