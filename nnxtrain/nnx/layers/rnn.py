"""RNN: a cell run over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.structure import iter_graph
from nnxtrain.nnx.layers.cell import Carry, RNNCellBase
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs, RngStream
from nnxtrain.nnx.transforms import axes
from nnxtrain.nnx.transforms.scan import scan
from nnxtrain.nnx.variable.variable import Intermediate

SOWN_IS_STACKED = axes.StateAxes({Intermediate: 0, ...: axes.Carry})


class RNN(Module):
    """Run a cell over a sequence (a loop by ``nnx.scan``).

    Args:
      cell: for example :class:`nnx.LSTMCell`; see :class:`nnx.RNNCellBase`.
      time_major: inputs and outputs are [time, *batch, *features], not [*batch, time, *features].
      return_carry: return ``(carry, outputs)``, not ``outputs``.
      reverse: go from the last step to the first; outputs are in the order in which they were made.
      keep_order: outputs of a reversed RNN are in the order of the inputs.
      unroll: how many steps to lay out in one iteration of the compiled loop.
      state_axes: for the cell's Variables, by filters: ``nnx.Carry`` (a step sees what the step before wrote), an axis
        (each step has a slice) or None (read only). Default: what is sown is stacked, everything else is carried.
      broadcast_rngs: a filter for random streams that give the same keys in each step (so one dropout mask for the whole
        sequence, Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287), and other ones in the next call.
      rngs: for the initial carry: random streams, of which the RNN keeps a fork of ``carry``; True makes a stream of its
        own, False none.

    >>> from nnxtrain import nnx
    >>> rnn = nnx.RNN(nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), return_carry=True)
    >>> h, y = rnn(jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 2]))
    >>> y.shape, bool((h == jnp.stack([y[0, 4], y[1, 1]])).all())
    ((2, 5, 4), True)
    """

    def __init__(
        self,
        cell: RNNCellBase,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        unroll: int = 1,
        state_axes: Mapping[Any, Any] | None = None,
        broadcast_rngs: Any = None,
        rngs: Rngs | RngStream | bool = True,
    ):
        self.cell = cell
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order
        self.unroll = unroll
        self.state_axes = SOWN_IS_STACKED if state_axes is None else axes.StateAxes(state_axes)
        self.broadcast_rngs = broadcast_rngs
        self.rngs = carry_stream(rngs, "RNN")

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Carry | None = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Rngs | RngStream | None = None,
    ) -> Any:
        """Run over the steps of ``inputs`` [*batch, time, *features].

        Args:
          initial_carry: of the first step (default: the cell's ``initialize_carry``).
          seq_lengths: int[*batch], how many steps of each sequence count; what follows is padding. The carry that is
            returned is that after the last step that counts, and a reversed RNN begins there. Outputs for padding mean
            nothing.
          rngs: for the initial carry.
          return_carry, time_major, reverse, keep_order: in place of the RNN's own.

        Returns:
          outputs [*batch, time, *features], or ``(carry, outputs)``.

        Raises:
          ValueError: shapes that do not fit.
        """
        return_carry = self.return_carry if return_carry is None else return_carry
        time_major = self.time_major if time_major is None else time_major
        reverse = self.reverse if reverse is None else reverse
        keep_order = self.keep_order if keep_order is None else keep_order

        num_batch = inputs.ndim - 1 - self.cell.num_feature_axes
        if num_batch < 0:
            order = "time, *batch" if time_major else "*batch, time"
            raise ValueError(
                f"RNN takes [{order}, features] with {self.cell.num_feature_axes} axes of features; "
                f"it got {list(inputs.shape)}"
            )
        time_axis = 0 if time_major else num_batch
        x = jnp.moveaxis(inputs, time_axis, 0)
        batch = x.shape[1 : 1 + num_batch]
        seq_lengths = None if seq_lengths is None else jnp.asarray(seq_lengths)
        if seq_lengths is not None and seq_lengths.shape != batch:
            raise ValueError(
                f"RNN takes seq_lengths {list(batch)}, one for each sequence of the inputs {list(inputs.shape)}; "
                f"it got {list(seq_lengths.shape)}"
            )
        if reverse:
            x = flip_sequences(x, seq_lengths)
        if initial_carry is None:
            rngs = self.rngs if rngs is None else rngs
            stream = rngs.carry if isinstance(rngs, Rngs) else rngs
            initial_carry = self.cell.initialize_carry(x.shape[1:], stream)

        last = initial_carry if return_carry and seq_lengths is not None else None
        valid = None if seq_lengths is None else _steps(x, num_batch) < seq_lengths
        (carry, last), outputs = self._loop()(self.cell, (initial_carry, last), (x, valid))
        carry = carry if last is None else last
        if reverse and keep_order:
            outputs = jax.tree.map(lambda y: flip_sequences(y, seq_lengths), outputs)
        outputs = jax.tree.map(lambda y: jnp.moveaxis(y, 0, time_axis), outputs)
        return (carry, outputs) if return_carry else outputs

    def _loop(self) -> Callable[..., Any]:
        same = to_predicate(self.broadcast_rngs)
        keys = [jax.random.split(stream(), 1)[0] for stream in _streams(self.cell, same)]

        def step(cell: RNNCellBase, carries: tuple[Carry, Carry], inputs: tuple[Any, Any]) -> Any:
            (carry, last), (x, valid) = carries, inputs
            with _lent(_streams(cell, same), keys):
                carry, y = cell(carry, x)
            if last is not None:
                last = jax.tree.map(partial(_select, valid), carry, last)
            return (carry, last), y

        return scan(
            step,
            in_axes=(self.state_axes, axes.Carry, 0),
            out_axes=(axes.Carry, 0),
            unroll=self.unroll,
        )


def _select(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)


def _steps(x: jax.Array, num_batch: int) -> jax.Array:
    """The number of each step of ``x`` [time, *batch, ...], [time, 1, ...]."""
    return jnp.arange(x.shape[0]).reshape(-1, *(1,) * num_batch)


def _streams(cell: Module, matches: Callable[[tuple, Any], bool]) -> list[RngStream]:
    return [
        node
        for path, node in iter_graph(cell)
        if isinstance(node, RngStream) and matches((*path, "key"), node.key)
    ]


@contextmanager
def _lent(streams: list[RngStream], keys: list[jax.Array]) -> Iterator[None]:
    """Let streams start from other keys for a while."""
    own = [(stream.key.raw_value, stream.count.raw_value) for stream in streams]
    for stream, key in zip(streams, keys):
        stream.key.set_raw_value(key)
        stream.count.set_raw_value(jnp.zeros((), jnp.uint32))
    yield
    for stream, (key, count) in zip(streams, own):
        stream.key.set_raw_value(key)
        stream.count.set_raw_value(count)


def flip_sequences(x: jax.Array, seq_lengths: jax.Array | None) -> jax.Array:
    """Reverse each sequence of ``x`` [time, *batch, ...] within its length (int[*batch]), the padding staying behind it.

    >>> x = jnp.array([[1, 4], [2, 5], [3, 0]])
    >>> flip_sequences(x, jnp.array([3, 2])).tolist()
    [[3, 5], [2, 4], [1, 0]]
    """
    if seq_lengths is None:
        return jnp.flip(x, 0)
    source = (seq_lengths - 1 - _steps(x, seq_lengths.ndim)) % x.shape[0]
    source = source.reshape(source.shape + (1,) * (x.ndim - source.ndim))
    return jnp.take_along_axis(x, source, axis=0)


def carry_stream(rngs: Rngs | RngStream | bool, layer: str) -> RngStream | None:
    """The random stream that a layer keeps for initial carries."""
    if rngs is True:
        return RngStream(0, tag="carry")
    if rngs is False:
        return None
    if isinstance(rngs, Rngs):
        return rngs.carry.fork()
    if isinstance(rngs, RngStream):
        return rngs.fork()
    raise TypeError(f"{layer} takes nnx.Rngs, a stream, True or False for rngs; it got {rngs!r}")
