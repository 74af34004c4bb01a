"""Linear: y = x W + b."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import initializers

from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.module import Module
from nnxtrain.nnx.rngs import Rngs
from nnxtrain.nnx.variables import Param

default_kernel_init = initializers.lecun_normal()
default_bias_init = initializers.zeros
NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class Linear(Module):
    """Multiply the last axis by a matrix and add a bias.

    Args:
      in_features, out_features: sizes of the last axis of input and output.
      use_bias: add ``bias`` [out_features].
      dtype: what to compute in (default: what input and parameters promote to).
      param_dtype: what the parameters are stored in.
      precision, dot_general, preferred_element_type: as in ``jax.lax.dot_general``.
      kernel_init, bias_init: initialisers ``(key, shape, dtype) -> array``.
      promote_dtype: casts ``(x, kernel, bias)`` to the computing dtype.
      rngs: random streams; ``params`` is used.
      kernel_metadata, bias_metadata: metadata of the Params.

    ``kernel`` is [in_features, out_features]; the call maps float[..., in_features] to float[..., out_features].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        dot_general: Callable[..., Any] = lax.dot_general,
        promote_dtype: Callable[..., Any] = promote_dtype,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.kernel = Param(
            kernel_init(rngs.params(), (in_features, out_features), param_dtype), **kernel_metadata
        )
        self.bias = (
            Param(bias_init(rngs.params(), (out_features,), param_dtype), **bias_metadata)
            if use_bias
            else None
        )
        self.in_features = in_features
        self.out_features = out_features
        self.use_bias = use_bias
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.kernel_init = kernel_init
        self.bias_init = bias_init
        self.dot_general = dot_general
        self.promote_dtype = promote_dtype
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array) -> jax.Array:
        bias = None if self.bias is None else self.bias.value
        x, kernel, bias = self.promote_dtype((inputs, self.kernel.value, bias), dtype=self.dtype)
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(f"Linear takes [..., {self.in_features}]; it got {list(x.shape)}")
        kwargs = (
            {}
            if self.preferred_element_type is None
            else {"preferred_element_type": self.preferred_element_type}
        )
        contract = (((x.ndim - 1,), (0,)), ((), ()))
        y = self.dot_general(x, kernel, contract, precision=self.precision, **kwargs)
        return y if bias is None else y + bias
