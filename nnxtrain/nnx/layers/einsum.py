"""Einsum: any product of the input with a kernel that an equation can say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import given, make_param, value_of
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs


class Einsum(Module):
    """Multiply the input with a kernel by an einsum equation, and add a bias.

    Args:
      einsum_str: the equation "input,kernel->output"; an ellipsis stands for any axes. None: each call gives its own.
      kernel_shape: one size for each letter of the kernel.
      bias_shape: the sizes of the kernel's axes that the output keeps, in its order; None for no bias.
      einsum_op: the function that multiplies, called like ``jnp.einsum``.
      dtype, param_dtype, precision, kernel_init, bias_init, promote_dtype, preferred_element_type, rngs,
        kernel_metadata, bias_metadata: as in :class:`Linear`.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.Einsum("nta,hab->nthb", (8, 2, 4), (8, 4), rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((16, 11, 2))).shape
    (16, 11, 8, 4)
    """

    def __init__(
        self,
        einsum_str: str | None,
        kernel_shape: Sequence[int],
        bias_shape: Sequence[int] | None = None,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        promote_dtype: Callable[..., Any] = promote_dtype,
        einsum_op: Callable[..., Any] = jnp.einsum,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.einsum_str = None if einsum_str is None else _checked(einsum_str)
        self.kernel_shape = tuple(kernel_shape)
        self.bias_shape = None if bias_shape is None else tuple(bias_shape)
        self.kernel = make_param(kernel_init, rngs, self.kernel_shape, param_dtype, kernel_metadata)
        self.bias = (
            None
            if self.bias_shape is None
            else make_param(bias_init, rngs, self.bias_shape, param_dtype, bias_metadata)
        )
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.promote_dtype = promote_dtype
        self.einsum_op = einsum_op
        self.preferred_element_type = preferred_element_type

    def __call__(
        self, inputs: jax.Array, einsum_str: str | None = None, out_sharding: Any = None
    ) -> jax.Array:
        """Multiply by ``einsum_str``, or else by the layer's equation; ``out_sharding`` as in ``jnp.einsum``."""
        equation = self.einsum_str if einsum_str is None else _checked(einsum_str)
        if equation is None:
            raise ValueError("Einsum has no equation: give einsum_str to the layer or to the call")
        x, kernel, bias = self.promote_dtype(
            (inputs, value_of(self.kernel), value_of(self.bias)), dtype=self.dtype
        )
        options = given(
            preferred_element_type=self.preferred_element_type, out_sharding=out_sharding
        )
        try:
            y = self.einsum_op(equation, x, kernel, precision=self.precision, **options)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"Einsum {equation!r} with a kernel {list(self.kernel_shape)} cannot take {list(inputs.shape)}: {error}"
            ) from error
        if bias is None:
            return y
        shape = _bias_axes(equation, self.kernel_shape, y.ndim)
        if math.prod(shape) != bias.size:
            raise ValueError(
                f"Einsum {equation!r} keeps {[n for n in shape if n > 1]} of its kernel; bias_shape is {self.bias_shape}"
            )
        return y + bias.reshape(shape)


def _checked(equation: str) -> str:
    equation = equation.replace(" ", "")
    if equation.count("->") != 1 or equation.count(",") != 1:
        raise ValueError(f"Einsum takes an equation 'input,kernel->output'; it got {equation!r}")
    return equation


def _bias_axes(equation: str, kernel_shape: tuple[int, ...], ndim: int) -> list[int]:
    """For each axis of the output, the kernel's size there, or 1 if the kernel has no such axis."""
    operands, output = equation.split("->")
    kernel = operands.split(",")[1]
    kernel_axes = _spelled_out(kernel, len(kernel_shape))
    sizes = dict(zip(kernel_axes, kernel_shape))
    return [sizes.get(axis, 1) for axis in _spelled_out(output, ndim)]


def _spelled_out(term: str, ndim: int) -> list[str]:
    """Names of a term's axes; those of an ellipsis are counted from its right end, by which they are aligned."""
    before, dots, after = term.partition("...")
    hidden = ndim - len(before) - len(after) if dots else 0
    return [*before, *(f"...{i}" for i in range(hidden, 0, -1)), *after]
