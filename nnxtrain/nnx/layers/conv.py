"""Conv: convolution in any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.module import Module
from nnxtrain.nnx.rngs import Rngs
from nnxtrain.nnx.variables import Param

Padding = str | int | Sequence[int | tuple[int, int]]


class Conv(Module):
    """Convolve the spatial axes (channels last), as a correlation: the kernel is not flipped.

    Args:
      in_features, out_features: channels of input and output.
      kernel_size: one int for each spatial dimension (an int means one dimension).
      strides, input_dilation, kernel_dilation: an int, or one for each dimension.
      padding: "SAME", "VALID", "CIRCULAR" (wraps around), "REFLECT", "CAUSAL" (one dimension, nothing from the
        future), an int, or (low, high) for each dimension.
      feature_group_count: groups of channels that are convolved by themselves.
      mask: an array of the kernel's shape that multiplies it.
      use_bias, dtype, param_dtype, precision, kernel_init, bias_init, promote_dtype, preferred_element_type, rngs,
        kernel_metadata, bias_metadata: as in :class:`Linear`.
      conv_general_dilated: the function that convolves.

    ``kernel`` is [*kernel_size, in_features / groups, out_features]. The call maps float[*batch, *spatial, in_features]
    to float[*batch, *spatial', out_features]; any number of batch axes, also none.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.Conv(3, 8, (3, 3), strides=2, rngs=nnx.Rngs(0))(jnp.ones((4, 9, 9, 3))).shape
    (4, 5, 5, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] | None = 1,
        *,
        padding: Padding = "SAME",
        input_dilation: int | Sequence[int] | None = 1,
        kernel_dilation: int | Sequence[int] | None = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        mask: Any = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        conv_general_dilated: Callable[..., Any] = lax.conv_general_dilated,
        promote_dtype: Callable[..., Any] = promote_dtype,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        if in_features % feature_group_count or out_features % feature_group_count:
            raise ValueError(
                f"feature_group_count={feature_group_count} must divide in_features={in_features} and "
                f"out_features={out_features}"
            )
        self.kernel_size = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
        shape = (*self.kernel_size, in_features // feature_group_count, out_features)
        self.kernel = Param(kernel_init(rngs.params(), shape, param_dtype), **kernel_metadata)
        self.bias = (
            Param(bias_init(rngs.params(), (out_features,), param_dtype), **bias_metadata)
            if use_bias
            else None
        )
        self.kernel_shape = shape
        self.in_features = in_features
        self.out_features = out_features
        self.strides = strides
        self.padding = padding
        self.input_dilation = input_dilation
        self.kernel_dilation = kernel_dilation
        self.feature_group_count = feature_group_count
        self.use_bias = use_bias
        self.mask = mask
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.kernel_init = kernel_init
        self.bias_init = bias_init
        self.conv_general_dilated = conv_general_dilated
        self.promote_dtype = promote_dtype
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array) -> jax.Array:
        dimensions = len(self.kernel_size)
        batch = inputs.shape[: -dimensions - 1]
        if inputs.ndim < dimensions + 1 or inputs.shape[-1] != self.in_features:
            raise ValueError(
                f"Conv takes [batch, {', '.join(['size'] * dimensions)}, {self.in_features}]; it got {list(inputs.shape)}"
            )
        x = inputs.reshape((-1, *inputs.shape[-dimensions - 1 :]))
        dilation = per_dimension(self.kernel_dilation, dimensions, "kernel_dilation")
        x, padding = pad_input(x, self.padding, self.kernel_size, dilation)
        kernel = self.kernel.value
        if self.mask is not None:
            kernel = kernel * jnp.asarray(self.mask)
        bias = None if self.bias is None else self.bias.value
        x, kernel, bias = self.promote_dtype((x, kernel, bias), dtype=self.dtype)
        kwargs = (
            {}
            if self.preferred_element_type is None
            else {"preferred_element_type": self.preferred_element_type}
        )
        y = self.conv_general_dilated(
            x,
            kernel,
            per_dimension(self.strides, dimensions, "strides"),
            padding,
            lhs_dilation=per_dimension(self.input_dilation, dimensions, "input_dilation"),
            rhs_dilation=dilation,
            dimension_numbers=channels_last(dimensions),
            feature_group_count=self.feature_group_count,
            precision=self.precision,
            **kwargs,
        )
        if bias is not None:
            y = y + bias
        return y.reshape((*batch, *y.shape[1:]))


def channels_last(dimensions: int) -> lax.ConvDimensionNumbers:
    """The layout [batch, *spatial, channels] and kernel [*spatial, in, out]."""
    image = (0, dimensions + 1, *range(1, dimensions + 1))
    return lax.ConvDimensionNumbers(image, (dimensions + 1, dimensions, *range(dimensions)), image)


def per_dimension(value: int | Sequence[int] | None, dimensions: int, name: str) -> tuple[int, ...]:
    """One int for each spatial dimension."""
    value = (
        (1 if value is None else value,) * dimensions
        if value is None or isinstance(value, int)
        else tuple(value)
    )
    if len(value) != dimensions:
        raise ValueError(
            f"{name} needs {dimensions} numbers, one for each spatial dimension; it has {len(value)}"
        )
    return value


def pad_input(
    x: jax.Array, padding: Padding, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[jax.Array, str | list[tuple[int, int]]]:
    """Apply the paddings that ``lax`` does not know to ``x``; return it with the padding that is left to ``lax``."""
    if isinstance(padding, int):
        return x, [(padding, padding)] * len(kernel_size)
    if not isinstance(padding, str):
        if len(padding) != len(kernel_size):
            raise ValueError(
                f"padding needs {len(kernel_size)} entries, one for each spatial dimension; it has {len(padding)}"
            )
        return x, [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in padding]
    reach = [d * (k - 1) for k, d in zip(kernel_size, dilation)]
    if padding in ("SAME", "VALID", "SAME_LOWER"):
        return x, padding
    if padding in ("CIRCULAR", "REFLECT"):
        mode = "wrap" if padding == "CIRCULAR" else "reflect"
        return jnp.pad(
            x, [(0, 0), *((r // 2, r - r // 2) for r in reach), (0, 0)], mode=mode
        ), "VALID"
    if padding == "CAUSAL":
        if len(kernel_size) != 1:
            raise ValueError("padding='CAUSAL' is for one spatial dimension")
        return jnp.pad(x, [(0, 0), (reach[0], 0), (0, 0)]), "VALID"
    raise ValueError(
        f"unknown padding {padding!r}; use 'SAME', 'VALID', 'CIRCULAR', 'REFLECT', 'CAUSAL', an int, or (low, high) pairs"
    )
