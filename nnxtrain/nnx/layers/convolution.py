"""Convolution in the form that is fastest on the device in hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.banded import banded_convolution
from nnxtrain.nnx.layers.window import LaxPadding


def conv_general_dilated(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: LaxPadding,
    *,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    **options: Any,
) -> jax.Array:
    """``jax.lax.conv_general_dilated`` with channels last; on a CPU one matrix product, where channels are few.

    Args:
      x, kernel: [B, *spatial, C] and [*window, C / groups, O].
      options: ``precision`` and what else ``lax.conv_general_dilated`` takes.

    A program has both forms until it is lowered for a platform: what is exported on a CPU is right elsewhere.
    """
    tile = tile_of(x, kernel, window_strides)
    is_simple = feature_group_count == 1 and {*lhs_dilation, *rhs_dilation} == {1}
    if tile is not None and is_simple and options.keys() <= {"precision"}:
        strides = tuple(window_strides)
        pads = padding
        if isinstance(pads, str):
            pads = lax.padtype_to_pads(x.shape[1:-1], kernel.shape[:-2], strides, pads)
        if min(n for pair in pads for n in pair) >= 0:
            precision = options.get("precision")
            return _by_platform(x, kernel, strides, tuple(pads), dimension_numbers, tile, precision)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        **options,
    )


@partial(jax.jit, static_argnums=(2, 3, 4, 5, 6), inline=True)  # so that eager calls compile once
def _by_platform(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    dimension_numbers: lax.ConvDimensionNumbers,
    tile: int,
    precision: Any,
) -> jax.Array:
    def banded(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return banded_convolution(x, kernel, strides, pads, tile, precision)

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, kernel, strides, pads, dimension_numbers=dimension_numbers, precision=precision
        )

    return lax.platform_dependent(x, kernel, cpu=banded, default=plain)


def tile_of(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> int | None:
    """The tile of :func:`banded_convolution` that is fastest on a CPU; None where ``lax.conv_general_dilated`` is.

    Measured by ``scripts/bench/convolution.py``, batches of 128, forward and both gradients, ms of a plain and of a banded
    convolution: 28 x 28 x 1, 5 to 6 channels, 14 and 5 (tile 4); 32 x 32 x 3, 5 to 6, 35 and 11 (4); 3 to 16, 15 and 6
    (2); 3 to 64, 46 and 28 (2); 32 x 32 x 4, 3 to 16, 17 and 9 (2); 32 x 32 x 6, 3 to 16, 19 and 16 (2); 16 x 16 x 6, 5 to
    16, 9.3 and 7.2 (4); one axis of 256 x 1, 5 to 16, 2.5 and 0.7 (4). Then it turns: 8 channels take as long or longer
    banded, 16 channels 1.6 times as long, and a stride of 2 or 4 is faster plain. With three axes plain convolutions are
    slow throughout: 16 x 16 x 16 x 1, 3 to 8, 373 and 56 (4); 8 x 8 x 8 x 8, 3 to 16, 95 and 56 (4).

    >>> tile_of(jnp.ones((128, 32, 32, 3)), jnp.ones((3, 3, 3, 16)), (1, 1))
    2
    """
    *window, channels, _ = kernel.shape
    three = len(window) == 3
    most = 8 if three else 6 if len(window) == 2 and window[-1] <= 5 else 3
    is_narrow = channels <= most and set(strides) == {1} and 1 < window[-1] <= 9
    if not is_narrow or x.dtype not in (jnp.float32, jnp.float64) or kernel.dtype != x.dtype:
        return None
    if window[-1] <= 3:
        return 4 if three else 2
    return 4 if window[-1] <= 5 else 8
