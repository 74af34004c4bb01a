"""Conv: convolution in any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.arguments import as_tuples, given, make_param, one_or_more, value_of
from nnxtrain.nnx.layers.convolution import conv_general_dilated
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.layers.window import (
    LaxPadding,
    Padding,
    PerAxis,
    channels_last,
    lax_padding,
    masked,
    one_batch_axis,
    per_axis,
)
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs


class Conv(Module):
    """Convolve the spatial axes (channels last), as a correlation: the kernel is not flipped.

    Args:
      in_features, out_features: channels of input and output.
      kernel_size: one int for each spatial dimension (an int means one dimension).
      strides, input_dilation, kernel_dilation: an int, or one for each dimension.
      padding: "SAME", "VALID", "CIRCULAR" (wraps around), "REFLECT", "CAUSAL" (one dimension, nothing from the
        future), an int, or for each dimension an int or (low, high).
      feature_group_count: groups of channels that are convolved by themselves.
      mask: an array of the kernel's shape that multiplies it.
      use_bias, dtype, param_dtype, precision, kernel_init, bias_init, promote_dtype, preferred_element_type, rngs,
        kernel_metadata, bias_metadata: as in :class:`Linear`.
      conv_general_dilated: the function that convolves, called like ``jax.lax.conv_general_dilated``; by default that, or
        on a CPU, where channels are few, a matrix product of the same value.

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
        strides: PerAxis = 1,
        *,
        padding: Padding = "SAME",
        input_dilation: PerAxis = 1,
        kernel_dilation: PerAxis = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        mask: Any = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        conv_general_dilated: Callable[..., Any] = conv_general_dilated,
        promote_dtype: Callable[..., Any] = promote_dtype,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        if in_features % feature_group_count or out_features % feature_group_count:
            raise ValueError(
                f"Conv: feature_group_count={feature_group_count} must divide in_features={in_features} and "
                f"out_features={out_features}"
            )
        self.kernel_size = one_or_more(kernel_size)
        self.kernel_shape = (*self.kernel_size, in_features // feature_group_count, out_features)
        self.kernel = make_param(kernel_init, rngs, self.kernel_shape, param_dtype, kernel_metadata)
        self.bias = (
            make_param(bias_init, rngs, (out_features,), param_dtype, bias_metadata)
            if use_bias
            else None
        )
        self.in_features = in_features
        self.out_features = out_features
        self.strides = as_tuples(strides)
        self.padding = as_tuples(padding)
        self.input_dilation = as_tuples(input_dilation)
        self.kernel_dilation = as_tuples(kernel_dilation)
        self.feature_group_count = feature_group_count
        self.use_bias = use_bias
        self.mask = mask
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.conv_general_dilated = conv_general_dilated
        self.promote_dtype = promote_dtype
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        """Convolve; ``out_sharding`` as in ``jax.lax.conv_general_dilated``. Raises a ValueError on another shape."""
        dimensions = len(self.kernel_size)
        x, batch = one_batch_axis(inputs, dimensions, self.in_features, "Conv")
        dilation = per_axis(self.kernel_dilation, dimensions, "Conv.kernel_dilation")
        strides = per_axis(self.strides, dimensions, "Conv.strides")
        spread = per_axis(self.input_dilation, dimensions, "Conv.input_dilation")
        x, padding = pad(x, self.padding, self.kernel_size, dilation)
        if isinstance(padding, str) and any(n != 1 for n in spread):  # which lax refuses
            padding = pads_of_spread(x, padding, self.kernel_size, strides, spread, dilation)
        kernel = masked(value_of(self.kernel), self.mask, "Conv")
        x, kernel, bias = self.promote_dtype((x, kernel, value_of(self.bias)), dtype=self.dtype)
        options = given(
            preferred_element_type=self.preferred_element_type, out_sharding=out_sharding
        )
        y = self.conv_general_dilated(
            x,
            kernel,
            strides,
            padding,
            lhs_dilation=spread,
            rhs_dilation=dilation,
            dimension_numbers=channels_last(dimensions),
            feature_group_count=self.feature_group_count,
            precision=self.precision,
            **options,
        )
        if bias is not None:
            y = y + bias
        return y if len(batch) == 1 else y.reshape(*batch, *y.shape[1:])


def pad(
    x: jax.Array, padding: Padding, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[jax.Array, LaxPadding]:
    """Apply the paddings that ``lax`` does not know to ``x``; return it with the padding that is left to ``lax``."""
    padding = lax_padding(padding, len(kernel_size), "Conv")
    reach = [d * (k - 1) for k, d in zip(kernel_size, dilation)]
    if padding in ("CIRCULAR", "REFLECT"):
        mode = "wrap" if padding == "CIRCULAR" else "reflect"
        widths = [(0, 0), *((r // 2, r - r // 2) for r in reach), (0, 0)]
        return jnp.pad(x, widths, mode=mode), "VALID"
    if padding == "CAUSAL":
        if len(kernel_size) != 1:
            raise ValueError("Conv: padding='CAUSAL' is for one spatial dimension")
        return x, [(reach[0], 0)]
    if isinstance(padding, str) and padding not in ("SAME", "VALID", "SAME_LOWER"):
        raise ValueError(
            f"Conv: unknown padding {padding!r}; use 'SAME', 'VALID', 'CIRCULAR', 'REFLECT', 'CAUSAL', an int, "
            "or (low, high) pairs"
        )
    return x, padding


def pads_of_spread(
    x: jax.Array,
    padding: str,
    kernel_size: tuple[int, ...],
    strides: tuple[int, ...],
    spread: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[tuple[int, int]]:
    """The padding by name for an input [batch, *spatial, channels] that gets zeros between its elements."""
    sizes = [(n - 1) * d + 1 for n, d in zip(x.shape[1:-1], spread)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation)]
    return [(low, high) for low, high in lax.padtype_to_pads(sizes, reach, strides, padding)]
