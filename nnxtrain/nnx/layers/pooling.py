"""Pooling over windows of the spatial axes, channels last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
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
      init: what windows start from, and what the padding consists of.
      reduce_fn: an associative function of two scalars, such as ``jax.lax.add``.
      window_shape: one size for each spatial axis.
      strides: one for each spatial axis (default 1).
      padding: "SAME", "VALID" or (low, high) for each spatial axis.

    Raises:
      ValueError: the numbers of axes disagree.

    >>> import jax.numpy as jnp
    >>> from jax import lax
    >>> pool(jnp.arange(1.0, 5.0).reshape(1, 4, 1), 1.0, lax.mul, (2,), (2,), "VALID").ravel().tolist()
    [2.0, 12.0]
    """
    num_batch, strides, padding = _windows(inputs, window_shape, strides, padding)
    if not isinstance(padding, str):
        padding = [(0, 0)] * num_batch + padding + [(0, 0)]
    return lax.reduce_window(
        inputs,
        init,
        reduce_fn,
        (1,) * num_batch + tuple(window_shape) + (1,),
        (1,) * num_batch + strides + (1,),
        padding,
    )


def _windows(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
) -> tuple[int, tuple[int, ...], str | list[tuple[int, int]]]:
    """The number of batch axes, the strides and the padding of a pooling. Raises ValueError where they do not fit."""
    strides = tuple(strides) if strides is not None else (1,) * len(window_shape)
    if len(strides) != len(window_shape):
        raise ValueError(
            f"pooling needs a stride for each axis of the window {tuple(window_shape)}; it got {strides}"
        )
    num_batch = inputs.ndim - len(window_shape) - 1
    if num_batch < 0:
        raise ValueError(
            f"pooling over {len(window_shape)} axes takes [*batch, *spatial, channels]; it got {list(inputs.shape)}"
        )
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID", "SAME_LOWER"):
            raise ValueError(
                f"pooling: unknown padding {padding!r}; use 'SAME', 'VALID', or (low, high) pairs"
            )
        return num_batch, strides, padding
    if len(padding) != len(window_shape) or any(len(p) != 2 for p in padding):
        raise ValueError(
            f"pooling needs (low, high) for each axis of the window {tuple(window_shape)}; it got padding={padding}"
        )
    return num_batch, strides, [(int(low), int(high)) for low, high in padding]


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
    return _extreme(inputs, _lowest(inputs.dtype), lax.max, window_shape, strides, padding)


def min_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> jax.Array:
    """The smallest value of each window; arguments as in :func:`pool`.

    >>> import jax.numpy as jnp
    >>> min_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,), (2,)).ravel().tolist()
    [0.0, 2.0]
    """
    return _extreme(inputs, _highest(inputs.dtype), lax.min, window_shape, strides, padding)


def avg_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window; arguments as in :func:`pool`. ``count_include_pad``: padded zeros count as elements.

    >>> import jax.numpy as jnp
    >>> x = jnp.ones((1, 3, 1))
    >>> avg_pool(x, (3,), padding="SAME", count_include_pad=False).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    zero = np.zeros((), inputs.dtype)  # a tracer would hide from lax that this is a sum
    total = pool(inputs, zero, lax.add, window_shape, strides, padding)
    if count_include_pad:
        return total / math.prod(window_shape)
    num_spatial = len(window_shape)
    ones = jnp.ones((*inputs.shape[inputs.ndim - num_spatial - 1 : -1], 1), inputs.dtype)
    return total / pool(ones, zero, lax.add, window_shape, strides, padding)


def _extreme(
    inputs: jax.Array,
    init: np.ndarray,
    reduce_fn: Callable[..., Any],
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
) -> jax.Array:
    """:func:`pool` by ``lax.max`` or ``lax.min``, in the form that suits the device."""
    _, strides, padding = _windows(inputs, window_shape, strides, padding)
    if not isinstance(padding, str):
        padding = tuple(padding)
    return _extreme_on_device(inputs, init.item(), reduce_fn, tuple(window_shape), strides, padding)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5), inline=True)  # so that eager calls compile once
def _extreme_on_device(
    inputs: jax.Array,
    init: Any,
    reduce_fn: Callable[..., Any],
    window_shape: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
) -> jax.Array:
    lowest = np.array(init, inputs.dtype)

    def windows(x: jax.Array) -> jax.Array:
        return pool(x, lowest, reduce_fn, window_shape, strides, padding)

    def tournament(x: jax.Array) -> jax.Array:
        wins = lax.gt if reduce_fn is lax.max else lax.lt
        return _tournament(x, lowest, wins, window_shape, padding)

    if strides != window_shape:
        return windows(inputs)
    return lax.platform_dependent(inputs, cpu=tournament, default=windows)


def _tournament(
    x: jax.Array,
    init: np.ndarray,
    wins: Callable[..., Any],
    window_shape: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
) -> jax.Array:
    """Windows side by side, reduced axis by axis by comparing pairs, whose gradient is a selection.

    The gradient of ``lax.reduce_window`` is slow on a CPU: it looks for each window's winner again, number by number.
    As there, the first of equals wins and takes the gradient, and NaN wins over all.
    """
    first = x.ndim - 1 - len(window_shape)
    sizes = x.shape[first:-1]
    pads = (
        lax.padtype_to_pads(sizes, window_shape, window_shape, padding)
        if isinstance(padding, str)
        else padding
    )
    config = [(0, 0, 0)] * x.ndim
    for axis, size, (low, high), k in zip(range(first, x.ndim), sizes, pads, window_shape):
        windows = (size + low + high) // k
        config[axis] = (low, windows * k - size - low, 0)
    x = lax.pad(x, init, config)
    for axis, k in reversed(list(zip(range(first, x.ndim), window_shape))):
        # A window's members side by side on the next axis, from where they are split off.
        shape = (*x.shape[:axis], x.shape[axis] // k, k * x.shape[axis + 1], *x.shape[axis + 2 :])
        members = lax.split(x.reshape(shape), (x.shape[axis + 1],) * k, axis + 1)
        x = members[0]
        for other in members[1:]:
            x = jnp.where(wins(other, x) | (other != other), other, x)
    return x


def _lowest(dtype: Any) -> np.ndarray:
    return np.array(-np.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min, dtype)


def _highest(dtype: Any) -> np.ndarray:
    return np.array(np.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).max, dtype)
