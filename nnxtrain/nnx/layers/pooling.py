"""Pooling over windows of the spatial axes, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def pool(
    inputs: jax.Array,
    init: Any,
    reduce_fn: Callable[..., Any],
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
) -> jax.Array:
    """Reduce windows of ``inputs`` [*batch, *spatial, channels] with ``reduce_fn``, starting from ``init``.

    Args:
      window_shape: one size for each spatial axis.
      strides: one for each spatial axis (default 1).
      padding: "SAME", "VALID" or (low, high) for each spatial axis.
    """
    strides = tuple(strides) if strides is not None else (1,) * len(window_shape)
    if len(strides) != len(window_shape):
        raise ValueError(
            f"strides {strides} and window_shape {tuple(window_shape)} must have the same length"
        )
    num_batch = inputs.ndim - len(window_shape) - 1
    if num_batch < 0:
        raise ValueError(
            f"pooling over {len(window_shape)} axes takes [*batch, *spatial, channels]; it got {list(inputs.shape)}"
        )
    if not isinstance(padding, str):
        padding = [(0, 0)] * num_batch + [(int(low), int(high)) for low, high in padding] + [(0, 0)]
    return lax.reduce_window(
        inputs,
        init,
        reduce_fn,
        (1,) * num_batch + tuple(window_shape) + (1,),
        (1,) * num_batch + strides + (1,),
        padding,
    )


def max_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> jax.Array:
    """The largest value of each window; arguments as in :func:`pool`.

    >>> import jax.numpy as jnp
    >>> max_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), (2,)).ravel().tolist()
    [1.0, 3.0]
    """
    return pool(inputs, _lowest(inputs.dtype), lax.max, window_shape, strides, padding)


def min_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> jax.Array:
    """The smallest value of each window; arguments as in :func:`pool`."""
    return pool(inputs, _highest(inputs.dtype), lax.min, window_shape, strides, padding)


def avg_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window; arguments as in :func:`pool`. ``count_include_pad``: padded zeros count as elements."""
    total = pool(inputs, 0.0, lax.add, window_shape, strides, padding)
    if count_include_pad:
        return total / np.prod(window_shape)
    ones = jnp.ones(
        (
            *((1,) * (inputs.ndim - len(window_shape) - 1)),
            *inputs.shape[-len(window_shape) - 1 : -1],
            1,
        )
    )
    return total / pool(ones, 0.0, lax.add, window_shape, strides, padding)


def _lowest(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    return jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).max
