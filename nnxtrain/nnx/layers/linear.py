"""Linear: y = x W + b."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import given, make_param, value_of
from nnxtrain.nnx.layers.dot_general import dot_general
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs

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
      precision, preferred_element_type: as in ``jax.lax.dot_general``.
      dot_general: the function that multiplies, called like ``jax.lax.dot_general``.
      kernel_init, bias_init: initialisers ``(key, shape, dtype) -> array``.
      promote_dtype: casts ``(x, kernel, bias)`` to the computing dtype.
      rngs: random streams; ``params`` is used.
      kernel_metadata, bias_metadata: metadata of the Params.

    ``kernel`` is [in_features, out_features]; the call maps float[..., in_features] to float[..., out_features].

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.Linear(3, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 4)
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
        dot_general: Callable[..., Any] = dot_general,
        promote_dtype: Callable[..., Any] = promote_dtype,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        shape = (in_features, out_features)
        self.kernel = make_param(kernel_init, rngs, shape, param_dtype, kernel_metadata)
        self.bias = (
            make_param(bias_init, rngs, (out_features,), param_dtype, bias_metadata)
            if use_bias
            else None
        )
        self.in_features = in_features
        self.out_features = out_features
        self.use_bias = use_bias
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.dot_general = dot_general
        self.promote_dtype = promote_dtype
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        """Multiply; ``out_sharding`` as in ``jax.lax.dot_general``. Raises a ValueError on another last axis."""
        in_features = self.kernel.shape[0]  # of this shard, inside nnx.shard_map
        if inputs.shape[-1:] != (in_features,):
            raise ValueError(f"Linear takes [..., {in_features}]; it got {list(inputs.shape)}")
        x, kernel, bias = self.promote_dtype(
            (inputs, value_of(self.kernel), value_of(self.bias)), dtype=self.dtype
        )
        options = given(
            preferred_element_type=self.preferred_element_type, out_sharding=out_sharding
        )
        contract = (((x.ndim - 1,), (0,)), ((), ()))
        y = self.dot_general(x, kernel, contract, precision=self.precision, **options)
        return y if bias is None else y + bias
