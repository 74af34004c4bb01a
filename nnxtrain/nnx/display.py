"""How objects print."""

from __future__ import annotations

from typing import Any

import jax

from nnxtrain.nnx.variables import Variable


def format_object(obj: Any) -> str:
    """Nested text of an object: attributes, with the counts and bytes of each kind of Variable.

    >>> from nnxtrain import nnx
    >>> print(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    Linear( # Param: 9 (36 B)
      kernel=Param(float32[2,3]),
      bias=Param(float32[3]),
      in_features=2,
      out_features=3,
      use_bias=True,
    )
    """
    return _format(obj, "", set())


_HIDDEN = (None,)


def _format(obj: Any, indent: str, above: set[int]) -> str:
    name = type(obj).__name__
    if id(obj) in above:
        return f"{name}(...)"
    lines = []
    for key, value in obj._graph_items():
        if isinstance(value, Variable):
            text = f"{type(value).__name__}({_describe(value._value)})"
        elif hasattr(value, "_graph_items"):
            text = _format(value, indent + "  ", above | {id(obj)})
        elif isinstance(value, jax.Array):
            text = _describe(value)
        elif isinstance(value, int | float | str | bool) or (
            isinstance(value, tuple) and value and type(value[0]) is int
        ):
            text = repr(value)
        else:
            continue
        lines.append(f"{indent}  {key}={text},\n")
    return f"{name}({_summary(obj)}\n{''.join(lines)}{indent})" if lines else f"{name}()"


def _describe(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return type(value).__name__


def _summary(obj: Any) -> str:
    from nnxtrain.nnx.graph import walk

    totals: dict[str, tuple[int, int]] = {}
    for leaf in walk(obj).leaves:
        value = leaf._value
        if isinstance(leaf, Variable) and hasattr(value, "size") and hasattr(value, "dtype"):
            kind = "RngState" if type(leaf).__name__.startswith("Rng") else type(leaf).__name__
            count, size = totals.get(kind, (0, 0))
            totals[kind] = (count + value.size, size + value.size * value.dtype.itemsize)
    return (
        " # " + ", ".join(f"{k}: {n:,} ({format_bytes(b)})" for k, (n, b) in totals.items())
        if totals
        else ""
    )


def format_bytes(size: float) -> str:
    """A byte count for people: "36 B", "1.2 MB".

    >>> format_bytes(1234567)
    '1.2 MB'
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size} B"
        size /= 1000
    return f"{size:.1f} TB"
