"""Which dtype a layer computes in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def canonicalize_dtype(*args: Any, dtype: Any = None, inexact: bool = True) -> Any:
    """The dtype to compute in: ``dtype``, or what the arguments promote to (made floating if ``inexact``)."""
    if dtype is None:
        dtype = jnp.result_type(*[a for a in args if a is not None])
        if inexact and not jnp.issubdtype(dtype, jnp.inexact):
            dtype = jnp.promote_types(jnp.float32, dtype)
    if inexact and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(
            f"the layer computes in floating point; dtype={jnp.dtype(dtype).name} is not"
        )
    return dtype


def promote_dtype(
    args: tuple[Any, ...], /, *, dtype: Any = None, inexact: bool = True
) -> tuple[Any, ...]:
    """Cast arrays (None passes) to one dtype.

    >>> import jax.numpy as jnp
    >>> [str(x.dtype) for x in promote_dtype((jnp.ones(2, jnp.bfloat16), jnp.ones(2)))]
    ['float32', 'float32']
    """
    dtype = canonicalize_dtype(*args, dtype=dtype, inexact=inexact)
    return tuple(None if a is None else jnp.asarray(a, dtype) for a in args)
