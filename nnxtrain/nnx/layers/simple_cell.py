"""The plain recurrent cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import tanh

from nnxtrain.nnx.layers.cell import Initializer, VectorCell, orthogonal
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.random.rngs import Rngs


class SimpleCell(VectorCell):
    r"""The recurrence of Elman 1990, :math:`h' = \tanh(W_i x + b_i + W_h h)`.

    Arguments as in :class:`nnxtrain.nnx.LSTMCell`, and ``residual``: add h inside of the tanh. ``dtype`` is float32 unless
    another is given.

    The carry is h. ``dense_i.kernel`` is [in_features, hidden_features] with a ``bias``, ``dense_h.kernel``
    [hidden_features, hidden_features].

    >>> from nnxtrain import nnx
    >>> cell = nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0))
    >>> h, y = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> h.shape, y.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        dtype: Any = jnp.float32,
        param_dtype: Any = jnp.float32,
        carry_init: Initializer | None = None,
        residual: bool = False,
        activation_fn: Callable[..., Any] = tanh,
        kernel_init: Initializer = default_kernel_init,
        recurrent_kernel_init: Initializer = orthogonal,
        bias_init: Initializer = default_bias_init,
        promote_dtype: Callable[..., Any] = promote_dtype,
        keep_rngs: bool = False,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        recurrent_kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        super().__init__(
            in_features,
            hidden_features,
            dtype=dtype,
            param_dtype=param_dtype,
            promote_dtype=promote_dtype,
            carry_init=carry_init,
            keep_rngs=keep_rngs,
            rngs=rngs,
        )
        self.residual = residual
        self.activation_fn = activation_fn
        self.dense_h = self._dense(
            hidden_features, 1, (recurrent_kernel_init, recurrent_kernel_metadata), None, rngs
        )
        self.dense_i = self._dense(
            in_features, 1, (kernel_init, kernel_metadata), (bias_init, bias_metadata), rngs
        )

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step from ``carry``, which keeps its dtype, and ``inputs`` float[*batch, in_features].

        Returns:
          the next carry, and the output float[*batch, hidden_features].
        """
        self._check_inputs(inputs)
        total = self.dense_i(inputs) + self.dense_h(carry)
        if self.residual:
            total = total + carry
        h = self.activation_fn(total)
        return h.astype(carry.dtype), h
