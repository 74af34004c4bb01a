"""PReLU: a ReLU whose negative slope is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import value_of
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.variable.variable import Param


class PReLU(Module):
    """``x`` where it is positive, else ``negative_slope * x`` (He et al. 2015, https://arxiv.org/abs/1502.01852).

    Args:
      negative_slope_init: the slope to start from; one number for all features.
      dtype: what to compute in (default: the input's, to which the slope is cast).
      param_dtype: what the slope is stored in.
      promote_dtype: casts ``(x, negative_slope)`` if ``dtype`` is given.
      negative_slope_metadata: metadata of the Param.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.PReLU(0.5)(jnp.array([-2.0, 3.0])).tolist()
    [-1.0, 3.0]
    """

    def __init__(
        self,
        negative_slope_init: float = 0.01,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        promote_dtype: Callable[..., Any] = promote_dtype,
        negative_slope_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.negative_slope = Param(
            jnp.asarray(negative_slope_init, param_dtype), **negative_slope_metadata
        )
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.promote_dtype = promote_dtype

    def __call__(self, inputs: jax.Array) -> jax.Array:
        dtype = inputs.dtype if self.dtype is None else self.dtype
        x, slope = self.promote_dtype((inputs, value_of(self.negative_slope)), dtype=dtype)
        return jnp.where(x >= 0, x, slope * x)
