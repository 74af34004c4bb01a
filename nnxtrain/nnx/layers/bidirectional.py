"""Bidirectional: one RNN forward, another backward over the same sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.rnn import RNN, carry_stream
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs, RngStream


def concatenate(a: jax.Array, b: jax.Array) -> jax.Array:
    """Put the features of both directions side by side."""
    return jnp.concatenate([a, b], axis=-1)


class Bidirectional(Module):
    """Run two RNNs over a sequence, one of them from its end, and merge their outputs step by step.

    Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093.

    Args:
      forward_rnn, backward_rnn: two RNNs (one and the same object shares its parameters between both directions).
      merge_fn: from the outputs of both, in the order of the inputs, to the output.
      time_major, return_carry: as in :class:`nnx.RNN`; the carry is that of both, (forward, backward).
      rngs: as in :class:`nnx.RNN`.

    >>> from nnxtrain import nnx
    >>> rngs = nnx.Rngs(0)
    >>> both = nnx.Bidirectional(nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs)), nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs)))
    >>> both(jnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        forward_rnn: RNN,
        backward_rnn: RNN,
        *,
        merge_fn: Callable[[Any, Any], Any] = concatenate,
        time_major: bool = False,
        return_carry: bool = False,
        rngs: Rngs | RngStream | bool = True,
    ):
        self.forward_rnn = forward_rnn
        self.backward_rnn = backward_rnn
        self.merge_fn = merge_fn
        self.time_major = time_major
        self.return_carry = return_carry
        self.rngs = carry_stream(rngs, "Bidirectional")

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: tuple[Any, Any] | None = None,
        rngs: Rngs | RngStream | None = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run over ``inputs``; arguments as in :class:`nnx.RNN`, ``initial_carry`` being (forward, backward).

        ``reverse`` and ``keep_order`` are there so that it can stand for an RNN, and change nothing.
        """
        return_carry = self.return_carry if return_carry is None else return_carry
        forward, backward = (None, None) if initial_carry is None else initial_carry
        options: dict[str, Any] = {
            "seq_lengths": seq_lengths,
            "return_carry": True,
            "time_major": self.time_major if time_major is None else time_major,
            "rngs": self.rngs if rngs is None else rngs,
        }
        forward, ahead = self.forward_rnn(inputs, initial_carry=forward, reverse=False, **options)
        backward, back = self.backward_rnn(
            inputs, initial_carry=backward, reverse=True, keep_order=True, **options
        )
        outputs = jax.tree.map(self.merge_fn, ahead, back)
        return ((forward, backward), outputs) if return_carry else outputs
