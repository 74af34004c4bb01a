"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, tanh

from nnxtrain.nnx.layers.arguments import value_of
from nnxtrain.nnx.layers.cell import Initializer, VectorCell, orthogonal
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import Param


class GRUCell(VectorCell):
    r"""Gated recurrent unit (Cho et al. 2014, https://arxiv.org/abs/1406.1078; with the biases of cuDNN and PyTorch).

    .. math::
        r &= \sigma(W_{ir} x + b_{ir} + W_{hr} h) \\
        z &= \sigma(W_{iz} x + b_{iz} + W_{hz} h) \\
        n &= \tanh(W_{in} x + b_{in} + r (W_{hn} h + b_{hn})) \\
        h' &= (1 - z) n + z h

    Arguments as in :class:`nnxtrain.nnx.LSTMCell`; ``bias_init`` is for the biases of x, and :math:`b_{hn}` starts at zero.

    The carry is h. ``dense_i.kernel`` is [in_features, 3 hidden_features] with a ``bias``, ``dense_h.kernel``
    [hidden_features, 3 hidden_features], in the order r, z, n; ``b_hn`` is [hidden_features]. Flax's cell lacks ``b_hn``:
    with zeros there its numbers come out, and the metadata ``missing_is_zero`` says that a saved state may lack it.

    >>> from nnxtrain import nnx
    >>> cell = nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))
    >>> h, y = cell(cell.initialize_carry((2, 3)), jnp.ones((2, 3)))
    >>> h.shape, y.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Callable[..., Any] = sigmoid,
        activation_fn: Callable[..., Any] = tanh,
        kernel_init: Initializer = default_kernel_init,
        recurrent_kernel_init: Initializer = orthogonal,
        bias_init: Initializer = default_bias_init,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        carry_init: Initializer | None = None,
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
        self.gate_fn = gate_fn
        self.activation_fn = activation_fn
        self.dense_i = self._dense(
            in_features, 3, (kernel_init, kernel_metadata), (bias_init, bias_metadata), rngs
        )
        self.dense_h = self._dense(
            hidden_features, 3, (recurrent_kernel_init, recurrent_kernel_metadata), None, rngs
        )
        # No key is drawn for it, so that one seed gives Flax's parameters.
        zeros = jnp.zeros((hidden_features,), param_dtype)
        self.b_hn = Param(zeros, **{**bias_metadata, "missing_is_zero": True})

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step from ``carry``, which keeps its dtype, and ``inputs`` float[*batch, in_features].

        Returns:
          the next carry, and the output float[*batch, hidden_features].
        """
        self._check_inputs(inputs)
        x_r, x_z, x_n = jnp.split(self.dense_i(inputs), 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self.dense_h(carry), 3, axis=-1)
        r = self.gate_fn(x_r + h_r)
        z = self.gate_fn(x_z + h_z)
        n = self.activation_fn(x_n + r * (h_n + value_of(self.b_hn).astype(h_n.dtype)))
        h = (1.0 - z) * n + z * carry
        return h.astype(carry.dtype), h
