"""Long short-term memory, with a product for each gate or with one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, tanh

from nnxtrain.nnx.layers.cell import Initializer, VectorCell, orthogonal
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.random.rngs import Rngs

LSTMCarry = tuple[jax.Array, jax.Array]  # c and h


class LSTMCell(VectorCell):
    r"""Long short-term memory (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    .. math::
        i &= \sigma(W_{ii} x + W_{hi} h + b_{hi}) \\
        f &= \sigma(W_{if} x + W_{hf} h + b_{hf}) \\
        g &= \tanh(W_{ig} x + W_{hg} h + b_{hg}) \\
        o &= \sigma(W_{io} x + W_{ho} h + b_{ho}) \\
        c' &= f c + i g \\
        h' &= o \tanh(c')

    Args:
      gate_fn, activation_fn: :math:`\sigma` and :math:`\tanh`.
      kernel_init, recurrent_kernel_init, bias_init: initialisers of the matrices of x and of h, and of the biases.
      kernel_metadata, recurrent_kernel_metadata, bias_metadata: metadata of these Params.
      in_features, hidden_features, dtype, param_dtype, carry_init, promote_dtype, keep_rngs, rngs: as in
        :class:`nnxtrain.nnx.layers.cell.VectorCell`.

    The carry is (c, h). Each gate has linear layers of its own: ``ii``, ``if_``, ``ig``, ``io`` with
    ``kernel`` [in_features, hidden_features]; ``hi``, ``hf``, ``hg``, ``ho`` with ``kernel`` and ``bias``.

    >>> from nnxtrain import nnx
    >>> cell = nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((2, 3))
    >>> (c, h), y = cell(cell.initialize_carry(x.shape), x)
    >>> c.shape, h.shape, y.shape
    ((2, 4), (2, 4), (2, 4))
    """

    num_carries = 2

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
        kernel = (kernel_init, kernel_metadata)
        recurrent = (recurrent_kernel_init, recurrent_kernel_metadata)
        self._make_layers(kernel, recurrent, (bias_init, bias_metadata), rngs)

    def _make_layers(self, kernel: Any, recurrent: Any, bias: Any, rngs: Rngs) -> None:
        of_input = partial(self._dense, self.in_features, 1, kernel, None, rngs)
        of_hidden = partial(self._dense, self.hidden_features, 1, recurrent, bias, rngs)
        self.ii, self.if_, self.ig, self.io = of_input(), of_input(), of_input(), of_input()
        self.hi, self.hf, self.hg, self.ho = of_hidden(), of_hidden(), of_hidden(), of_hidden()

    def _gates(self, x: jax.Array, h: jax.Array) -> Any:
        """The sums for i, f, g and o."""
        return (
            self.ii(x) + self.hi(h),
            self.if_(x) + self.hf(h),
            self.ig(x) + self.hg(h),
            self.io(x) + self.ho(h),
        )

    def __call__(self, carry: LSTMCarry, inputs: jax.Array) -> tuple[LSTMCarry, jax.Array]:
        """One step from ``carry``, which keeps its dtype, and ``inputs`` float[*batch, in_features].

        Returns:
          the next carry, and the output float[*batch, hidden_features].
        """
        self._check_inputs(inputs)
        c, h = carry
        i, f, g, o = self._gates(inputs, h)
        new_c = self.gate_fn(f) * c + self.gate_fn(i) * self.activation_fn(g)
        new_h = self.gate_fn(o) * self.activation_fn(new_c)
        return (new_c.astype(c.dtype), new_h.astype(h.dtype)), new_h


class OptimizedLSTMCell(LSTMCell):
    """The same LSTM with one product of x and one of h for all gates: faster, up to very large hidden sizes.

    Arguments as in :class:`LSTMCell`. ``dense_i.kernel`` is [in_features, 4 hidden_features], ``dense_h.kernel``
    [hidden_features, 4 hidden_features] with a ``bias``; the gates are in the order i, f, g, o.

    >>> from nnxtrain import nnx
    >>> rnn = nnx.RNN(nnx.OptimizedLSTMCell(3, 4, rngs=nnx.Rngs(0)))
    >>> rnn(jnp.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    def _make_layers(self, kernel: Any, recurrent: Any, bias: Any, rngs: Rngs) -> None:
        self.dense_i = self._dense(self.in_features, 4, kernel, None, rngs)
        self.dense_h = self._dense(self.hidden_features, 4, recurrent, bias, rngs)

    def _gates(self, x: jax.Array, h: jax.Array) -> Any:
        return jnp.split(self.dense_i(x) + self.dense_h(h), 4, axis=-1)
