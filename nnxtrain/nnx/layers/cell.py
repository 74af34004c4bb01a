"""What recurrent cells have in common: one step from a carry and an input to the next carry and an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.linear import Linear
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs, RngStream

Carry = Any
Initializer = Callable[..., Any]
Parameter = tuple[Initializer, Mapping[str, Any]]  # how to make it, and its metadata


class RNNCellBase(Module):
    """What ``nnx.RNN`` needs of a cell."""

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """Return the next carry and the output of this step."""
        raise NotImplementedError

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: Rngs | RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Carry:
        """Return the carry before the first step, for inputs [*batch, *features] of one step."""
        raise NotImplementedError

    @property
    def num_feature_axes(self) -> int:
        """How many of the last axes of an input are features, not batch or time."""
        raise NotImplementedError


class VectorCell(RNNCellBase):
    """A cell whose inputs and carry are vectors, and whose gates are linear in both.

    Args:
      in_features, hidden_features: sizes of the last axis of input and output.
      dtype: what to compute the products in (default: what input, carry and parameters promote to).
      param_dtype: what the parameters are stored in, and the initial carry.
      promote_dtype: casts to the computing dtype.
      carry_init: initialiser of the carry (default zeros).
      keep_rngs: keep a fork of the random stream ``carry`` for ``carry_init``.
      rngs: random streams.
    """

    num_carries = 1  # arrays in the carry: one, or a tuple of several

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        dtype: Any,
        param_dtype: Any,
        promote_dtype: Callable[..., Any],
        carry_init: Initializer | None,
        keep_rngs: bool,
        rngs: Rngs,
    ):
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.promote_dtype = promote_dtype
        self.carry_init = carry_init
        self.rngs = rngs.carry.fork() if keep_rngs else None

    def _dense(
        self, in_features: int, gates: int, kernel: Parameter, bias: Parameter | None, rngs: Rngs
    ) -> Linear:
        """The linear layer of several gates, side by side."""
        options: dict[str, Any] = {"kernel_init": kernel[0], "kernel_metadata": kernel[1]}
        if bias is not None:
            options |= {"bias_init": bias[0], "bias_metadata": bias[1]}
        return Linear(
            in_features,
            gates * self.hidden_features,
            use_bias=bias is not None,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            promote_dtype=self.promote_dtype,
            rngs=rngs,
            **options,
        )

    def _check_inputs(self, inputs: jax.Array) -> None:
        if inputs.shape[-1:] != (self.in_features,):
            raise ValueError(
                f"{type(self).__name__} takes [*batch, {self.in_features}]; it got {list(inputs.shape)}"
            )

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: Rngs | RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Carry:
        """Return the carry before the first step: arrays param_dtype[*batch, hidden_features].

        Args:
          input_shape: (*batch, in_features), of one step.
          rngs: random streams for the initialiser; ``carry`` is used. Without an initialiser none is needed or touched.
          carry_init: initialiser ``(key, shape, dtype) -> array`` (default: the cell's, else zeros).

        Raises:
          ValueError: the initialiser has no random stream.
        """
        carry_init = self.carry_init if carry_init is None else carry_init
        shape = (*input_shape[:-1], self.hidden_features)
        parts: list[Any] = []
        for _ in range(self.num_carries):
            if carry_init is None:
                parts.append(jnp.zeros(shape, self.param_dtype))
            else:
                parts.append(carry_init(self._carry_key(rngs), shape, self.param_dtype))
        return parts[0] if self.num_carries == 1 else tuple(parts)

    def _carry_key(self, rngs: Rngs | RngStream | None) -> jax.Array:
        source = self.rngs if rngs is None else rngs
        source = source.carry if isinstance(source, Rngs) else source
        if source is None:
            raise ValueError(
                f"{type(self).__name__}.initialize_carry needs a random stream for its carry_init: give it rngs"
            )
        return source()

    @property
    def num_feature_axes(self) -> int:
        return 1


def orthogonal(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """An orthogonal matrix, found in float32 at least (half precision has no QR decomposition)."""
    wide = jnp.promote_types(dtype, jnp.float32)
    return initializers.orthogonal()(key, shape, wide).astype(dtype)
