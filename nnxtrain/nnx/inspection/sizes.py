"""How many numbers and bytes the Variables of each kind hold, and how that is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax

from nnxtrain.nnx.variable.variable import RngState, Variable


@dataclass(frozen=True)
class Size:
    """A number of elements and of bytes."""

    count: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.count:,} ({format_bytes(self.bytes)})"


Sizes = dict[str, Size]  # by the kind of Variable; "Array" for arrays that are no Variable


def kind_of(variable: type[Variable]) -> str:
    """The name under which Variables of a type are counted: keys and counts of random streams are one kind."""
    return "RngState" if issubclass(variable, RngState) else variable.__name__


def size_of(value: Any) -> Size:
    """The size of an array, or of all arrays of a pytree; tracers and abstract values have one too.

    >>> import jax.numpy as jnp
    >>> size_of({"a": jnp.ones((2, 3)), "b": jnp.ones(4, jnp.bfloat16)})
    Size(count=10, bytes=32)
    """
    count = size = 0
    for leaf in jax.tree.leaves(value):
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            elements = math.prod(leaf.shape)
            count += elements
            size += elements * leaf.dtype.itemsize
    return Size(count, size)


def add_sizes(total: Sizes, more: Sizes) -> None:
    """Add the sizes of each kind to ``total``, in place."""
    for kind, size in more.items():
        held = total.get(kind, Size(0, 0))
        total[kind] = Size(held.count + size.count, held.bytes + size.bytes)


def total_size(sizes: Sizes) -> Size:
    return Size(sum(s.count for s in sizes.values()), sum(s.bytes for s in sizes.values()))


def format_sizes(sizes: Sizes) -> list[str]:
    """One text for each kind, and the total where there are several kinds.

    >>> format_sizes({"Param": Size(165, 660), "BatchStat": Size(32, 128)})
    ['Param: 165 (660 B)', 'BatchStat: 32 (128 B)', 'Total: 197 (788 B)']
    """
    parts = [f"{kind}: {size}" for kind, size in sizes.items()]
    return [*parts, f"Total: {total_size(sizes)}"] if len(parts) > 1 else parts


def format_bytes(size: float) -> str:
    """A byte count for people: "36 B", "1.2 MB".

    >>> format_bytes(36), format_bytes(1234567), format_bytes(999999)
    ('36 B', '1.2 MB', '1.0 MB')
    """
    if size < 1000:
        return f"{size} B"
    for unit in ("KB", "MB", "GB"):
        size /= 1000
        if round(size, 1) < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} TB"
