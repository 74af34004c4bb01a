"""BatchNorm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.arguments import as_tuples, make_param, value_of
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA
from nnxtrain.nnx.layers.moments import checked_axes, moments, normalize
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import BatchStat


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
      bias_metadata, scale_metadata: metadata of the Params.

    ``scale``, ``bias``, ``mean`` and ``var`` are [num_features]. The statistics are computed and kept in at least float32.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.BatchNorm(2, momentum=0.5, rngs=nnx.Rngs(0))
    >>> layer(jnp.array([[1.0, 10.0], [3.0, 30.0]])).round(2).tolist(), layer.mean.value.tolist()
    ([[-1.0, -1.0], [1.0, 1.0]], [1.0, 10.0])
    """

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool | None = False,
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
        self.mean = BatchStat(initializers.zeros(None, shape, jnp.float32))
        self.var = BatchStat(initializers.ones(None, shape, jnp.float32))
        self.scale = (
            make_param(scale_init, rngs, shape, param_dtype, scale_metadata) if use_scale else None
        )
        self.bias = (
            make_param(bias_init, rngs, shape, param_dtype, bias_metadata) if use_bias else None
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
        self.axis_name = axis_name
        self.axis_index_groups = as_tuples(axis_index_groups)
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
        if use_running_average is None:
            raise ValueError(
                "BatchNorm does not know which statistics to use: call model.train() or model.eval(), "
                "or give use_running_average"
            )
        features = checked_axes(self.axis, x, "BatchNorm", self.num_features)
        reduced = tuple(i for i in range(x.ndim) if i not in features)
        old_mean, old_var = self.mean.value, self.var.value
        x, _, _, scale, bias = self.promote_dtype(
            (x, old_mean, old_var, value_of(self.scale), value_of(self.bias)), dtype=self.dtype
        )
        if use_running_average:
            mean, var = old_mean, old_var
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
            self.mean.value = self._average(old_mean, mean)
            self.var.value = self._average(old_var, var)
        return normalize(x, mean, var, scale, bias, reduced, features, self.dtype, self.epsilon)

    def _average(self, old: jax.Array, new: jax.Array) -> jax.Array:
        average = self.momentum * old + (1 - self.momentum) * new
        return lax.stop_gradient(average.astype(old.dtype))

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set ``use_running_average`` where it is given."""
        if use_running_average is not None:
            self.use_running_average = use_running_average
