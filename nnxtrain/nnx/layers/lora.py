"""LoRA: low-rank changes to weights that are kept as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import value_of
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, Linear
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import A, Param, Variable

default_a_initializer = initializers.he_uniform()
default_b_initializer = initializers.zeros


class LoRAParam(Param[A]):
    """A parameter of a low-rank change: ``nnx.Optimizer(model, tx, wrt=nnx.LoRAParam)`` trains these alone."""


class LoRA(Module):
    """Add ``x A B`` to a module's output (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Args:
      in_features, lora_rank, out_features: ``lora_a`` is [in_features, lora_rank], ``lora_b`` [lora_rank, out_features].
      base_module: the module whose output is changed; without it, the change itself is returned.
      dtype, param_dtype, promote_dtype, rngs: as in :class:`Linear`.
      a_initializer, b_initializer: initialisers. With the zeros of B, the first output is that of the base.
      lora_param_type: the type of both Variables.
      a_metadata, b_metadata: their metadata.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> base = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
    >>> layer, x = nnx.LoRA(3, 2, 4, base_module=base, rngs=nnx.Rngs(1)), jnp.ones((16, 3))
    >>> bool((layer(x) == base(x)).all())
    True
    """

    def __init__(
        self,
        in_features: int,
        lora_rank: int,
        out_features: int,
        *,
        base_module: Module | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        a_initializer: Callable[..., Any] = default_a_initializer,
        b_initializer: Callable[..., Any] = default_b_initializer,
        lora_param_type: type[Variable] = LoRAParam,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        a_metadata: Mapping[str, Any] = NO_METADATA,
        b_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        if base_module is not None and not callable(base_module):
            raise ValueError(
                f"LoRA.base_module must be callable; a {type(base_module).__name__} is not"
            )
        self.in_features = in_features
        self.out_features = out_features
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.lora_param_type = lora_param_type
        self.base_module = base_module
        self.promote_dtype = promote_dtype
        self.lora_a = lora_param_type(
            a_initializer(rngs.params(), (in_features, lora_rank), param_dtype), **a_metadata
        )
        self.lora_b = lora_param_type(
            b_initializer(rngs.params(), (lora_rank, out_features), param_dtype), **b_metadata
        )

    def __call__(self, x: jax.Array, **kwargs: Any) -> jax.Array:
        """Map float[..., in_features] to float[..., out_features]; keywords go to the base module."""
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(f"LoRA takes [..., {self.in_features}]; it got {list(x.shape)}")
        x, a, b = self.promote_dtype(
            (x, value_of(self.lora_a), value_of(self.lora_b)), dtype=self.dtype
        )
        change = x @ a @ b
        return change if self.base_module is None else change + self.base_module(x, **kwargs)


class LoRALinear(Linear):
    """A :class:`Linear` with a low-rank change ``lora``, whose own parameters are where Linear has them.

    Args:
      in_features, out_features: as in :class:`Linear`, and so are other keywords.
      lora_rank, a_initializer, b_initializer, lora_param_type, a_metadata, b_metadata: as in :class:`LoRA`.
      lora_dtype, lora_param_dtype, lora_promote_dtype: what the change computes in and is stored in.

    >>> from nnxtrain import nnx
    >>> layer = nnx.LoRALinear(3, 4, lora_rank=2, rngs=nnx.Rngs(0))
    >>> [".".join(path) for path, _ in nnx.to_flat_state(nnx.state(layer))]
    ['kernel', 'bias', 'lora.lora_a', 'lora.lora_b']
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lora_rank: int,
        lora_dtype: Any = None,
        lora_param_dtype: Any = jnp.float32,
        a_initializer: Callable[..., Any] = default_a_initializer,
        b_initializer: Callable[..., Any] = default_b_initializer,
        lora_param_type: type[Variable] = LoRAParam,
        lora_promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        a_metadata: Mapping[str, Any] = NO_METADATA,
        b_metadata: Mapping[str, Any] = NO_METADATA,
        **kwargs: Any,
    ):
        super().__init__(in_features, out_features, rngs=rngs, **kwargs)
        self.lora = LoRA(
            in_features,
            lora_rank,
            out_features,
            dtype=lora_dtype,
            param_dtype=lora_param_dtype,
            a_initializer=a_initializer,
            b_initializer=b_initializer,
            lora_param_type=lora_param_type,
            promote_dtype=lora_promote_dtype,
            rngs=rngs,
            a_metadata=a_metadata,
            b_metadata=b_metadata,
        )

    def __call__(self, x: jax.Array, out_sharding: Any = None) -> jax.Array:
        return super().__call__(x, out_sharding=out_sharding) + self.lora(x)
