"""Convolution as one product with a banded matrix: the fast form on a CPU where channels are few.

Each output position of such a convolution is too small a product to be quick. So the last spatial axis is cut into tiles
of T outputs, and the kernel is laid out T times, each time shifted by the stride:

    [B * ... * tiles, positions * C] @ [positions * C, T * O]

where ``positions`` are those of the input that the T outputs see. The band's zeros are multiplied too, but in one product
that fills the CPU's vectors. There is no convolution in it, which XLA's loops on a CPU are slow with.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def banded_convolution(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    tile: int,
    precision: Any = None,
) -> jax.Array:
    """Convolve ``x`` [B, *spatial, C] with ``kernel`` [*window, C, O].

    Args:
      strides: one for each spatial axis.
      pads: zeros (low, high) for each spatial axis.
      tile: outputs along the last axis that one row of the product makes; ``tile * stride`` is at least the window's size
        there less the stride.
      precision: of the product.

    Returns:
      [B, *spatial', O], as ``jax.lax.conv_general_dilated`` gives it.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.arange(5.0).reshape(1, 5, 1), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
    >>> banded_convolution(x, kernel, (1,), [(0, 0)], tile=2).ravel().tolist()
    [10.0, 21.0, 32.0, 43.0]
    """
    *window, channels, features = kernel.shape
    sizes = [
        (n + low + high - k) // s + 1
        for n, (low, high), k, s in zip(x.shape[1:-1], pads, window, strides)
    ]
    tiles, stride = -(-sizes[-1] // tile), strides[-1]
    rows = _rows(x, pads, tiles, tile * stride, reach=max(0, window[-1] - stride))
    patches = []
    for corner in itertools.product(*map(range, window[:-1])):
        start = (0, *corner, 0, 0)
        ends = (c + (n - 1) * s + 1 for c, n, s in zip(corner, sizes, strides))
        limit = (x.shape[0], *ends, tiles, rows.shape[-1])
        patches.append(lax.slice(rows, start, limit, (1, *strides[:-1], 1, 1)))
    left = jnp.concatenate(patches, -1).reshape(-1, len(patches) * rows.shape[-1])
    band = _band(kernel, rows.shape[-1] // channels, tile, stride)
    y = lax.dot(left, band, precision=precision)
    y = y.reshape(x.shape[0], *sizes[:-1], tiles * tile, features)
    return lax.slice_in_dim(y, 0, sizes[-1], axis=-2)


def _rows(
    x: jax.Array, pads: Sequence[tuple[int, int]], tiles: int, step: int, reach: int
) -> jax.Array:
    """The input that each tile sees, [B, *padded, tiles, (step + reach) * C]: its own part, and the first of the next's."""
    low, n = pads[-1][0], x.shape[-2]
    length = (tiles + (reach > 0)) * step
    config = [(0, 0, 0), *((low, high, 0) for low, high in pads[:-1])]
    config += [(low, length - low - n, 0), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    shape = (*x.shape[:-2], tiles, step * x.shape[-1])
    own = lax.slice_in_dim(x, 0, tiles * step, axis=-2).reshape(shape)
    if not reach:
        return own
    following = lax.slice_in_dim(x, step, length, axis=-2).reshape(shape)
    return jnp.concatenate([own, following[..., : reach * x.shape[-1]]], -1)


def _band(kernel: jax.Array, columns: int, tile: int, stride: int) -> jax.Array:
    """The kernel once for each output of a tile, [window * columns * C, tile * O]."""
    size, features = kernel.shape[-3], kernel.shape[-1]
    around = [(0, 0)] * (kernel.ndim - 3)
    shifted = [
        jnp.pad(kernel, [*around, (t * stride, columns - size - t * stride), (0, 0), (0, 0)])
        for t in range(tile)
    ]
    return jnp.stack(shifted, -2).reshape(-1, tile * features)
