"""GroupNorm and InstanceNorm: each example is normalised by itself, group by group or channel by channel."""

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


class GroupNorm(Module):
    """Group normalisation (Wu and He 2018, https://arxiv.org/abs/1803.08494).

    Args:
      num_features: channels, on the last axis.
      num_groups: into how many groups they are cut; or
      group_size: how many are in a group (then ``num_groups`` must be None).
      reduction_axes: the axes over which statistics are taken, the last one among them (of which only the group is);
        default: all but the first, the batch.
      epsilon, dtype, param_dtype, use_bias, use_scale, bias_init, scale_init, axis_name, axis_index_groups,
        use_fast_variance, promote_dtype, rngs, bias_metadata, scale_metadata: as in :class:`LayerNorm`.

    ``scale`` and ``bias`` are [num_features].

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.GroupNorm(4, num_groups=2, rngs=nnx.Rngs(0))(jnp.array([[1.0, 3.0, 10.0, 30.0]])).round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        num_features: int,
        num_groups: int | None = 32,
        group_size: int | None = None,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Any] = initializers.zeros,
        scale_init: Callable[..., Any] = initializers.ones,
        reduction_axes: Axes | None = None,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        if (num_groups is None) == (group_size is None):
            raise ValueError(
                "GroupNorm takes num_groups or group_size, and None for the other; "
                f"it got num_groups={num_groups}, group_size={group_size}"
            )
        divisor = num_groups if group_size is None else group_size
        if not isinstance(divisor, int) or divisor <= 0 or num_features % divisor:
            name = "num_groups" if group_size is None else "group_size"
            raise ValueError(
                f"GroupNorm: {name}={divisor} does not divide num_features={num_features}"
            )
        self.num_groups = divisor if group_size is None else num_features // divisor
        self.group_size = num_features // self.num_groups
        shape = (num_features,)
        self.scale = (
            make_param(scale_init, rngs, shape, param_dtype, scale_metadata) if use_scale else None
        )
        self.bias = (
            make_param(bias_init, rngs, shape, param_dtype, bias_metadata) if use_bias else None
        )
        self.num_features = num_features
        self.feature_axis = -1
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_bias = use_bias
        self.use_scale = use_scale
        self.reduction_axes = as_tuples(reduction_axes)
        self.axis_name = axis_name
        self.axis_index_groups = as_tuples(axis_index_groups)
        self.use_fast_variance = use_fast_variance
        self.promote_dtype = promote_dtype

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalise ``x``; ``mask`` (broadcast to x) says which elements count for the statistics."""
        (last,) = checked_axes(-1, x, "GroupNorm", self.num_features)
        axes = self.reduction_axes if self.reduction_axes is not None else (*range(1, last), last)
        axes = checked_axes(axes, x, "GroupNorm")
        if last not in axes:
            raise ValueError(
                f"GroupNorm.reduction_axes must hold the last axis; they are {self.reduction_axes} for {list(x.shape)}"
            )
        reduced = axes[:-1]
        grouped = (*x.shape[:-1], self.num_groups, self.group_size)
        if mask is not None:
            mask = jnp.broadcast_to(mask, x.shape).reshape(grouped)
        x, scale, bias = self.promote_dtype(
            (x, value_of(self.scale), value_of(self.bias)), dtype=self.dtype
        )
        mean, var = moments(
            x.reshape(grouped),
            (*reduced, last + 1),
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
            mask=mask,
        )
        mean, var = (jnp.repeat(m, self.group_size, axis=-1) for m in (mean, var))
        return normalize(x, mean, var, scale, bias, reduced, (last,), self.dtype, self.epsilon)


class InstanceNorm(Module):
    """Instance normalisation (Ulyanov, Vedaldi and Lempitsky 2016, https://arxiv.org/abs/1607.08022).

    Statistics are taken over all axes but the first (the batch) and the feature axes.

    Args:
      num_features: the size of ``scale`` and ``bias``: the product of the feature axes.
      feature_axes: the axes along which statistics, scale and bias differ.
      epsilon, dtype, param_dtype, use_bias, use_scale, bias_init, scale_init, axis_name, axis_index_groups,
        use_fast_variance, promote_dtype, rngs, bias_metadata, scale_metadata: as in :class:`LayerNorm`.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> x = jnp.array([[[1.0, 10.0], [3.0, 30.0]]])
    >>> nnx.InstanceNorm(2, rngs=nnx.Rngs(0))(x).round(3).tolist()
    [[[-1.0, -1.0], [1.0, 1.0]]]
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
        self.feature_axes = as_tuples(feature_axes)
        self.axis_name = axis_name
        self.axis_index_groups = as_tuples(axis_index_groups)
        self.use_fast_variance = use_fast_variance
        self.promote_dtype = promote_dtype

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalise ``x``; ``mask`` (broadcast to x) says which elements count for the statistics."""
        features = checked_axes(self.feature_axes, x, "InstanceNorm", self.num_features)
        if 0 in features:
            raise ValueError(
                f"InstanceNorm takes [batch, ..., {self.num_features}]: its feature axes {self.feature_axes} "
                f"cannot be the first, the batch; it got {list(x.shape)}"
            )
        reduced = tuple(i for i in range(1, x.ndim) if i not in features)
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
