"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import initializers

from nnxtrain.nnx.layers.dtypes import canonicalize_dtype, promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA
from nnxtrain.nnx.module import Module
from nnxtrain.nnx.rngs import Rngs
from nnxtrain.nnx.variables import BatchStat, Param


class BatchNorm(Module):
    """Batch normalisation (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167).

    In training, each feature is normalised by the mean and the (biased) variance of the batch, and running averages are
    kept: ``average = momentum * average + (1 - momentum) * batch``. With ``use_running_average`` (set by
    ``model.eval()``) these are used, and not changed.

    Args:
      num_features: size of the feature axis.
      use_running_average: use the stored statistics.
      axis: the feature axis; all others are reduced.
      momentum, epsilon: of the running averages, and added to the variance.
      dtype, param_dtype, use_bias, use_scale, bias_init, scale_init, promote_dtype: as in other layers.
      axis_name, axis_index_groups: also average over a mapped axis, as in ``jax.lax.pmean``.
      use_fast_variance: variance as E[x²] - E[x]², one pass less.
      rngs: random streams; ``params`` is used.
    """

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool = False,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Any] = initializers.zeros,
        scale_init: Callable[..., Any] = initializers.ones,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        shape = (num_features,)
        self.mean = BatchStat(jnp.zeros(shape, jnp.float32))
        self.var = BatchStat(jnp.ones(shape, jnp.float32))
        self.scale = (
            Param(scale_init(rngs.params(), shape, param_dtype), **scale_metadata)
            if use_scale
            else None
        )
        self.bias = (
            Param(bias_init(rngs.params(), shape, param_dtype), **bias_metadata)
            if use_bias
            else None
        )
        self.num_features = num_features
        self.use_running_average = use_running_average
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_bias = use_bias
        self.use_scale = use_scale
        self.bias_init = bias_init
        self.scale_init = scale_init
        self.axis_name = axis_name
        self.axis_index_groups = axis_index_groups
        self.use_fast_variance = use_fast_variance
        self.promote_dtype = promote_dtype

    def __call__(
        self,
        x: jax.Array,
        use_running_average: bool | None = None,
        *,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """Normalise ``x``; ``mask`` (broadcast to x) says which elements count for the statistics."""
        if use_running_average is None:
            use_running_average = self.use_running_average
        feature_axis = self.axis % x.ndim
        if x.shape[feature_axis] != self.num_features:
            raise ValueError(
                f"BatchNorm takes {self.num_features} features on axis {self.axis}; it got {list(x.shape)}"
            )
        reduced = tuple(i for i in range(x.ndim) if i != feature_axis)
        if use_running_average:
            mean, var = self.mean.value, self.var.value
        else:
            mean, var = moments(
                x,
                reduced,
                dtype=self.dtype,
                axis_name=self.axis_name,
                axis_index_groups=self.axis_index_groups,
                use_fast_variance=self.use_fast_variance,
                mask=mask,
            )
            old_mean, old_var = self.mean.value, self.var.value
            self.mean.value = (self.momentum * old_mean + (1 - self.momentum) * mean).astype(
                old_mean.dtype
            )
            self.var.value = (self.momentum * old_var + (1 - self.momentum) * var).astype(
                old_var.dtype
            )
        return normalize(
            x,
            mean,
            var,
            self.scale,
            self.bias,
            self.epsilon,
            reduced,
            (feature_axis,),
            self.dtype,
            self.promote_dtype,
        )

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set ``use_running_average`` where it is given."""
        if use_running_average is not None:
            self.use_running_average = use_running_average


def moments(
    x: jax.Array,
    axes: Sequence[int],
    *,
    dtype: Any = None,
    axis_name: str | None = None,
    axis_index_groups: Any = None,
    use_fast_variance: bool = True,
    mask: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over ``axes`` in at least float32, and over a mapped axis where one is named."""
    x = jnp.asarray(x, jnp.promote_types(canonicalize_dtype(x, dtype=dtype), jnp.float32))

    def mean_of(*values: jax.Array) -> list[jax.Array]:
        means = [v.mean(axes, where=mask) for v in values]
        if axis_name is not None:
            means = lax.pmean(means, axis_name, axis_index_groups=axis_index_groups)
        return means

    if use_fast_variance:
        mean, square = mean_of(x, lax.square(x))
        return mean, jnp.maximum(0.0, square - lax.square(mean))
    (mean,) = mean_of(x)
    (var,) = mean_of(lax.square(x - jnp.expand_dims(mean, axes)))
    return mean, var


def normalize(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: Param | None,
    bias: Param | None,
    epsilon: float,
    reduced: Sequence[int],
    feature_axes: Sequence[int],
    dtype: Any,
    promote_dtype: Callable[..., Any],
) -> jax.Array:
    """``(x - mean) / sqrt(var + epsilon) * scale + bias``, in the layer's dtype."""
    mean, var = jnp.expand_dims(mean, reduced), jnp.expand_dims(var, reduced)
    feature_shape = [x.shape[i] if i in feature_axes else 1 for i in range(x.ndim)]
    factor = lax.rsqrt(var + epsilon)
    parts = [x]
    if scale is not None:
        factor = factor * scale.value.reshape(feature_shape)
        parts.append(scale.value)
    y = (x - mean) * factor
    if bias is not None:
        y = y + bias.value.reshape(feature_shape)
        parts.append(bias.value)
    (x_cast, *_) = promote_dtype(tuple(parts), dtype=dtype)
    return jnp.asarray(y, x_cast.dtype)
