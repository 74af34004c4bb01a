"""The windows of convolutions: strides, dilations and padding for each spatial axis; channels come last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

PerAxis = int | Sequence[int] | None
Padding = str | int | Sequence[int | tuple[int, int]]
LaxPadding = str | list[tuple[int, int]]


def per_axis(value: PerAxis, dimensions: int, name: str) -> tuple[int, ...]:
    """One int for each spatial axis; None means 1."""
    if value is None or isinstance(value, int):
        return (1 if value is None else value,) * dimensions
    if len(value) != dimensions:
        raise ValueError(
            f"{name} needs {dimensions} numbers, one for each spatial dimension; it got {list(value)}"
        )
    return tuple(value)


def lax_padding(padding: Padding, dimensions: int, layer: str) -> LaxPadding:
    """A name as it is; numbers as (low, high) for each spatial axis."""
    if isinstance(padding, str):
        return padding
    if isinstance(padding, int):
        return [(padding, padding)] * dimensions
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in padding]
    if len(pairs) != dimensions or any(len(p) != 2 for p in pairs):
        raise ValueError(
            f"{layer}.padding needs an int or (low, high) for each of {dimensions} spatial dimensions; it got {padding}"
        )
    return [(low, high) for low, high in pairs]


def channels_last(dimensions: int) -> lax.ConvDimensionNumbers:
    """The layout [batch, *spatial, channels] and kernel [*spatial, in, out]."""
    image = (0, dimensions + 1, *range(1, dimensions + 1))
    return lax.ConvDimensionNumbers(image, (dimensions + 1, dimensions, *range(dimensions)), image)


def one_batch_axis(
    inputs: jax.Array, dimensions: int, features: int, layer: str
) -> tuple[jax.Array, tuple[int, ...]]:
    """``inputs`` [*batch, *spatial, features] with one batch axis, and the batch axes it had."""
    if inputs.ndim < dimensions + 1 or inputs.shape[-1] != features:
        axes = ", ".join(["*batch", *["size"] * dimensions, str(features)])
        raise ValueError(f"{layer} takes [{axes}]; it got {list(inputs.shape)}")
    batch = inputs.shape[: inputs.ndim - dimensions - 1]
    if len(batch) == 1:
        return inputs, batch
    return inputs.reshape(-1, *inputs.shape[len(batch) :]), batch


def masked(kernel: jax.Array, mask: Any, layer: str) -> jax.Array:
    """``kernel * mask``, which have one shape."""
    if mask is None:
        return kernel
    if jnp.shape(mask) != kernel.shape:
        raise ValueError(
            f"{layer}.mask has the shape of the kernel, {list(kernel.shape)}; it got {list(jnp.shape(mask))}"
        )
    return kernel * jnp.asarray(mask)
