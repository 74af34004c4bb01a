"""LinearGeneral: a matrix product over any axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import given, make_param, one_or_more, value_of
from nnxtrain.nnx.layers.dot_general import dot_general
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.metadata import VariableMetadata

NO_AXES: Mapping[int, int] = MappingProxyType({})


class LinearGeneral(Module):
    """Contract some axes of the input with a kernel, and add a bias.

    Args:
      in_features, out_features: one size or several, of the contracted and of the new axes.
      axis: the contracted axes, as many as ``in_features``; they are taken in ascending order.
      batch_axis: axis -> size, for the leading axes 0, 1, …, each index of which has a kernel of its own.
      use_bias, dtype, param_dtype, kernel_init, bias_init, precision, promote_dtype, preferred_element_type, rngs,
        kernel_metadata, bias_metadata: as in :class:`Linear`. The kernel is initialised as a matrix
        [batch * in, out], then reshaped.
      dot_general: the function that multiplies (default: ``jax.lax.dot_general`` in the form that is fastest).
      dot_general_cls: makes that function anew at each call.

    ``kernel`` is [*batch, *in_features, *out_features], ``bias`` [*batch, *out_features]. The output has the axes of the
    input that were not contracted, then ``out_features``.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.LinearGeneral((2, 3), (4, 5), axis=(1, -1), rngs=nnx.Rngs(0))
    >>> layer.kernel.shape, layer(jnp.ones((16, 2, 7, 3))).shape
    ((2, 3, 4, 5), (16, 7, 4, 5))
    """

    def __init__(
        self,
        in_features: int | Sequence[int],
        out_features: int | Sequence[int],
        *,
        axis: int | Sequence[int] = -1,
        batch_axis: Mapping[int, int] = NO_AXES,
        use_bias: bool = True,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        kernel_init: Callable[..., Any] = default_kernel_init,
        bias_init: Callable[..., Any] = default_bias_init,
        precision: Any = None,
        promote_dtype: Callable[..., Any] = promote_dtype,
        dot_general: Callable[..., Any] | None = None,
        dot_general_cls: Any = None,
        preferred_element_type: Any = None,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.in_features = one_or_more(in_features)
        self.out_features = one_or_more(out_features)
        self.axis = one_or_more(axis)
        self.batch_axis = tuple(sorted(batch_axis.items()))
        if len(self.in_features) != len(self.axis):
            raise ValueError(
                f"LinearGeneral needs one axis for each of in_features={self.in_features}; it got axis={self.axis}"
            )
        if [number for number, _ in self.batch_axis] != list(range(len(self.batch_axis))):
            raise ValueError(
                f"LinearGeneral.batch_axis must be the leading axes 0, 1, …; it got {dict(batch_axis)}"
            )
        batch = tuple(size for _, size in self.batch_axis)
        rows = math.prod(batch) * math.prod(self.in_features)
        self.kernel = make_param(
            partial(_reshaped, kernel_init, (rows, math.prod(self.out_features))),
            rngs,
            (*batch, *self.in_features, *self.out_features),
            param_dtype,
            kernel_metadata,
        )
        shape = (*batch, *self.out_features)
        self.bias = (
            make_param(
                partial(_reshaped, bias_init, (math.prod(shape),)),
                rngs,
                shape,
                param_dtype,
                bias_metadata,
            )
            if use_bias
            else None
        )
        self.use_bias = use_bias
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision
        self.promote_dtype = promote_dtype
        self.dot_general = dot_general
        self.dot_general_cls = dot_general_cls
        self.preferred_element_type = preferred_element_type

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        """Multiply; ``out_sharding`` as in ``jax.lax.dot_general``. Raises a ValueError where sizes disagree."""
        num_batch = len(self.batch_axis)
        batch = tuple(range(num_batch))
        axis = tuple(sorted(a % inputs.ndim for a in self.axis)) if inputs.ndim else ()
        expected = {**dict(self.batch_axis), **dict(zip(axis, self.in_features))}
        if len(expected) != num_batch + len(self.axis) or any(
            a >= inputs.ndim or inputs.shape[a] != size for a, size in expected.items()
        ):
            raise ValueError(
                f"LinearGeneral takes the sizes {self.in_features} on the axes {self.axis}"
                f"{f' and {dict(self.batch_axis)} on its batch axes' if batch else ''}; it got {list(inputs.shape)}"
            )
        x, kernel, bias = self.promote_dtype(
            (inputs, value_of(self.kernel), value_of(self.bias)), dtype=self.dtype
        )
        multiply = self.dot_general or dot_general
        if self.dot_general_cls is not None:
            multiply = self.dot_general_cls()
        options = given(
            preferred_element_type=self.preferred_element_type, out_sharding=out_sharding
        )
        contract = (axis, tuple(range(num_batch, num_batch + len(axis))))
        y = multiply(x, kernel, (contract, (batch, batch)), precision=self.precision, **options)
        if bias is None:
            return y
        kept = [x.shape[a] if a in batch else 1 for a in range(x.ndim) if a not in axis]
        return y + bias.reshape(*kept, *self.out_features)


def _reshaped(
    initializer: Callable[..., Any], flat: tuple[int, ...], key: Any, shape: Any, dtype: Any
) -> Any:
    """Initialise with the shape ``flat``, from which initialisers take the number of inputs; then reshape."""
    value = initializer(key, flat, dtype)
    if isinstance(value, VariableMetadata):
        value.raw_value = jnp.reshape(value.raw_value, shape)
        return value
    return jnp.reshape(value, shape)
