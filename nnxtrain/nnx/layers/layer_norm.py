"""LayerNorm and RMSNorm: each example is normalised by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import as_tuples, make_param, value_of
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA
from nnxtrain.nnx.layers.moments import Axes, checked_axes, moments, normalize
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs


class LayerNorm(Module):
    """Layer normalisation (Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450).

    Args:
      num_features: the size of ``scale`` and ``bias``: the product of the feature axes.
      epsilon: added to the variance.
      dtype: what to return (default: what input and parameters promote to). Statistics take at least float32.
      param_dtype, use_bias, use_scale, bias_init, scale_init, promote_dtype, rngs, bias_metadata, scale_metadata: as
        in :class:`BatchNorm`.
      reduction_axes: the axes over which mean and variance are taken.
      feature_axes: the axes along which scale and bias differ.
      axis_name, axis_index_groups: also average over a mapped axis, as in ``jax.lax.pmean``.
      use_fast_variance: variance as E[x²] - E[x]², one pass less.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.LayerNorm(2, rngs=nnx.Rngs(0))(jnp.array([[1.0, 3.0], [5.0, 5.0]])).round(3).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Any] = initializers.zeros,
        scale_init: Callable[..., Any] = initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        shape = (num_features,)
        self.scale = (
            make_param(scale_init, rngs, shape, param_dtype, scale_metadata) if use_scale else None
        )
        self.bias = (
            make_param(bias_init, rngs, shape, param_dtype, bias_metadata) if use_bias else None
        )
        self.num_features = num_features
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_bias = use_bias
        self.use_scale = use_scale
        self.reduction_axes = as_tuples(reduction_axes)
        self.feature_axes = as_tuples(feature_axes)
        self.axis_name = axis_name
        self.axis_index_groups = as_tuples(axis_index_groups)
        self.use_fast_variance = use_fast_variance
        self.promote_dtype = promote_dtype

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalise ``x``; ``mask`` (broadcast to x) says which elements count for the statistics."""
        reduced = checked_axes(self.reduction_axes, x, "LayerNorm")
        features = checked_axes(self.feature_axes, x, "LayerNorm", self.num_features)
        x, scale, bias = self.promote_dtype(
            (x, value_of(self.scale), value_of(self.bias)), dtype=self.dtype
        )
        mean, var = moments(
            x,
            reduced,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
            mask=mask,
        )
        return normalize(x, mean, var, scale, bias, reduced, features, self.dtype, self.epsilon)


class RMSNorm(Module):
    """Divide by the root of the mean square, without centring (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).

    Args:
      num_features, epsilon, dtype, param_dtype, use_scale, scale_init, reduction_axes, feature_axes, axis_name,
        axis_index_groups, promote_dtype, rngs, scale_metadata: as in :class:`LayerNorm`.
      use_fast_variance: without effect, as there is no mean to subtract.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.RMSNorm(4, rngs=nnx.Rngs(0))(jnp.array([0.0, 4.0, 0.0, 0.0])).round(3).tolist()
    [0.0, 2.0, 0.0, 0.0]
    """

    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_scale: bool = True,
        scale_init: Callable[..., Any] = initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.scale = (
            make_param(scale_init, rngs, (num_features,), param_dtype, scale_metadata)
            if use_scale
            else None
        )
        self.num_features = num_features
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_scale = use_scale
        self.reduction_axes = as_tuples(reduction_axes)
        self.feature_axes = as_tuples(feature_axes)
        self.axis_name = axis_name
        self.axis_index_groups = as_tuples(axis_index_groups)
        self.use_fast_variance = use_fast_variance
        self.promote_dtype = promote_dtype

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Normalise ``x``; ``mask`` (broadcast to x) says which elements count for the mean square."""
        reduced = checked_axes(self.reduction_axes, x, "RMSNorm")
        features = checked_axes(self.feature_axes, x, "RMSNorm", self.num_features)
        x, scale = self.promote_dtype((x, value_of(self.scale)), dtype=self.dtype)
        mean, var = moments(
            x,
            reduced,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_mean=False,
            mask=mask,
        )
        return normalize(x, mean, var, scale, None, reduced, features, self.dtype, self.epsilon)
