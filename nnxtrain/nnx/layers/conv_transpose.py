"""ConvTranspose: the convolution that enlarges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.arguments import as_tuples, make_param, one_or_more, value_of
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


class ConvTranspose(Module):
    """Put ``strides - 1`` zeros between the elements of the spatial axes (channels last), and convolve.

    Args:
      in_features, out_features: channels of input and output.
      kernel_size: one int for each spatial dimension (an int means one dimension).
      strides, kernel_dilation: an int, or one for each dimension.
      padding: "SAME" (the output has ``size * strides``), "VALID" (all places that the kernel reaches), "CIRCULAR" (what
        reaches beyond ``size * strides`` comes in at the other end), "CAUSAL" (one dimension; ``size * strides``, nothing
        from the future), an int, or for each dimension an int or (low, high). Numbers pad the enlarged input: what
        PyTorch calls ``padding=p`` is ``dilation * (kernel_size - 1) - p`` here.
      mask: an array of the kernel's shape that multiplies it.
      transpose_kernel: use the kernel of the convolution that this one is the transpose of: flipped, and with
        the channel axes swapped, so that it is [*kernel_size, out_features, in_features].
      use_bias, dtype, param_dtype, precision, kernel_init, bias_init, promote_dtype, preferred_element_type, rngs,
        kernel_metadata, bias_metadata: as in :class:`Linear`.

    ``kernel`` is [*kernel_size, in_features, out_features]. The call maps float[*batch, *spatial, in_features] to
    float[*batch, *spatial', out_features]; any number of batch axes, also none.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.ConvTranspose(3, 8, (3, 3), strides=2, rngs=nnx.Rngs(0))(jnp.ones((4, 5, 5, 3))).shape
    (4, 10, 10, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: PerAxis = None,
        *,
        padding: Padding = "SAME",
        kernel_dilation: PerAxis = None,
        use_bias: bool = True,
        mask: Any = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        transpose_kernel: bool = False,
        promote_dtype: Callable[..., Any] = promote_dtype,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.kernel_size = one_or_more(kernel_size)
        channels = (out_features, in_features) if transpose_kernel else (in_features, out_features)
        self.kernel_shape = (*self.kernel_size, *channels)
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
        self.kernel_dilation = as_tuples(kernel_dilation)
        self.use_bias = use_bias
        self.mask = mask
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.transpose_kernel = transpose_kernel
        self.promote_dtype = promote_dtype
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolve. Raises a ValueError on another shape."""
        dimensions = len(self.kernel_size)
        x, batch = one_batch_axis(inputs, dimensions, self.in_features, "ConvTranspose")
        strides = per_axis(self.strides, dimensions, "ConvTranspose.strides")
        dilation = per_axis(self.kernel_dilation, dimensions, "ConvTranspose.kernel_dilation")
        kernel = masked(value_of(self.kernel), self.mask, "ConvTranspose")
        x, kernel, bias = self.promote_dtype((x, kernel, value_of(self.bias)), dtype=self.dtype)
        y = lax.conv_transpose(
            x,
            kernel,
            strides,
            transposed_padding(self.padding, self.kernel_size, strides, dilation),
            rhs_dilation=dilation,
            dimension_numbers=channels_last(dimensions),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )
        if self.padding == "CIRCULAR":
            for axis, stride in enumerate(strides, start=1):
                y = wrap_around(y, axis, x.shape[axis] * stride, self.transpose_kernel)
        if bias is not None:
            y = y + bias
        return y if len(batch) == 1 else y.reshape(*batch, *y.shape[1:])


def transposed_padding(
    padding: Padding,
    kernel_size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> LaxPadding:
    """The padding for ``jax.lax.conv_transpose``."""
    padding = lax_padding(padding, len(kernel_size), "ConvTranspose")
    if padding == "CAUSAL":
        if len(kernel_size) != 1:
            raise ValueError("ConvTranspose: padding='CAUSAL' is for one spatial dimension")
        return [(dilation[0] * (kernel_size[0] - 1), strides[0] - 1)]
    if isinstance(padding, str) and padding not in ("SAME", "VALID", "CIRCULAR"):
        raise ValueError(
            f"ConvTranspose: unknown padding {padding!r}; use 'SAME', 'VALID', 'CIRCULAR', 'CAUSAL', an int, "
            "or (low, high) pairs"
        )
    return "VALID" if padding == "CIRCULAR" else padding


def wrap_around(y: jax.Array, axis: int, period: int, transpose_kernel: bool) -> jax.Array:
    """Add what lies outside ``period`` to where it belongs inside.

    The output of "VALID" reaches beyond the period equally on both sides. Where the reach is odd, its larger half is on
    the left with a transposed kernel, else on the right, as Flax has it.
    """
    left = (period - y.shape[axis] + (0 if transpose_kernel else 1)) // 2 % period
    right = -(left + y.shape[axis]) % period
    y = jnp.pad(y, [(left, right) if i == axis else (0, 0) for i in range(y.ndim)])
    return y.reshape(*y.shape[:axis], -1, period, *y.shape[axis + 1 :]).sum(axis)
