"""What a Variable holds: an array, or a pytree of arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CONTAINERS = frozenset({dict, list, tuple})


def normalise(value: Any) -> Any:
    """Make scalars, NumPy arrays and weakly typed arrays strong JAX arrays: a second kind of leaf is a second compile."""
    if isinstance(value, jax.Array):
        return (
            jnp.asarray(value, dtype=value.dtype) if getattr(value, "weak_type", False) else value
        )
    if isinstance(value, bool | int | float | complex | np.ndarray | np.generic):
        if isinstance(value, np.ndarray) and value.dtype == object:
            return value
        return jnp.asarray(value, dtype=jnp.result_type(value))
    if isinstance(value, tuple | list | dict):
        return jax.tree.map(normalise, value)
    return value


def copied(value: Any) -> Any:
    """The same arrays in containers of their own."""
    return jax.tree.map(_same, value)


def _same(x: Any) -> Any:
    return x


def with_part(old: Any, index: Any, new: Any) -> Any:
    """``old`` with ``old[index]`` replaced."""
    if isinstance(old, jax.Array):
        return new if index is ... and _fits(old, new) else old.at[index].set(new)
    if index is ...:
        return new
    changed = copied(old)
    changed[index] = new
    return changed


def _fits(old: jax.Array, new: Any) -> bool:
    """True where a write of the whole changes no shape, dtype or placement."""
    if not isinstance(new, jax.Array) or new.shape != old.shape or new.dtype != old.dtype:
        return False
    traced = isinstance(old, jax.core.Tracer) or isinstance(new, jax.core.Tracer)
    return traced or new.sharding == old.sharding
