"""Mean and variance, and what normalisation layers do with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.dtypes import canonicalize_dtype

Axes = int | Sequence[int]


def checked_axes(
    axes: Axes, x: jax.Array, layer: str, num_features: int | None = None
) -> tuple[int, ...]:
    """Axes of ``x`` counted from 0, in order. Raises a ValueError where they are not there or not of that size."""
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    present = all(-x.ndim <= axis < x.ndim for axis in axes)
    found = tuple(sorted({axis % x.ndim for axis in axes})) if present else ()
    if not present or num_features not in (None, math.prod(x.shape[axis] for axis in found)):
        features = "" if num_features is None else f"{num_features} features on "
        raise ValueError(f"{layer} takes {features}axis {_listed(axes)}; it got {list(x.shape)}")
    return found


def moments(
    x: jax.Array,
    axes: Sequence[int],
    *,
    dtype: Any = None,
    axis_name: str | None = None,
    axis_index_groups: Any = None,
    use_mean: bool = True,
    use_fast_variance: bool = True,
    mask: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over ``axes`` in at least float32, and over a mapped axis where one is named.

    Args:
      use_mean: False: the mean is 0, the variance E[|x|²].
      use_fast_variance: E[|x|²] - |E[x]|², one pass less than E[|x - E[x]|²].
      mask: bool, broadcast to x: which elements count.
    """
    x = jnp.asarray(x, jnp.promote_types(x.dtype if dtype is None else dtype, jnp.float32))

    def mean_of(*values: jax.Array) -> list[jax.Array]:
        means = [v.mean(axes, where=mask) for v in values]
        if axis_name is None:
            return means
        return lax.pmean(means, axis_name, axis_index_groups=axis_index_groups)

    if not use_mean:
        (square,) = mean_of(_square(x))
        return jnp.zeros_like(square, dtype=x.dtype), square
    if use_fast_variance:
        mean, square = mean_of(x, _square(x))
        return mean, jnp.maximum(0.0, square - _square(mean))  # rounding may make it negative
    (mean,) = mean_of(x)
    (var,) = mean_of(_square(x - jnp.expand_dims(mean, axes)))
    return mean, var


def normalize(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    reduction_axes: Sequence[int],
    feature_axes: Sequence[int],
    dtype: Any,
    epsilon: float,
) -> jax.Array:
    """``(x - mean) / sqrt(var + epsilon) * scale + bias``, in the layer's dtype.

    ``mean`` and ``var`` have the axes of ``x`` without ``reduction_axes``; ``scale`` and ``bias`` its ``feature_axes``.
    """
    mean, var = jnp.expand_dims(mean, reduction_axes), jnp.expand_dims(var, reduction_axes)
    feature_shape = [n if i in feature_axes else 1 for i, n in enumerate(x.shape)]
    factor = lax.rsqrt(var + epsilon)
    if scale is not None:
        factor = factor * scale.reshape(feature_shape)
    y = (x - mean) * factor
    if bias is not None:
        y = y + bias.reshape(feature_shape)
    return jnp.asarray(y, canonicalize_dtype(x, scale, bias, dtype=dtype))


def _square(x: jax.Array) -> jax.Array:
    """|x|²."""
    if jnp.iscomplexobj(x):
        return lax.square(x.real) + lax.square(x.imag)
    return lax.square(x)


def _listed(axes: Sequence[int]) -> str:
    return " and ".join(map(str, axes))
