"""RNN: a cell run over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.filters import to_predicate
from nnxtrain.nnx.functional import variables
from nnxtrain.nnx.graph import iter_graph
from nnxtrain.nnx.layers.cell import Carry, ProjectedCell, RNNCellBase
from nnxtrain.nnx.module import Module
from nnxtrain.nnx.rngs import Rngs, RngStream
from nnxtrain.nnx.state import to_flat_state
from nnxtrain.nnx.transforms import axes
from nnxtrain.nnx.transforms.scan import scan
from nnxtrain.nnx.variables import Intermediate, Param

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

    A cell that is a :class:`nnxtrain.nnx.layers.cell.ProjectedCell` with nothing but Params gets all its inputs projected in
    one product.

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
        if seq_lengths is not None and jnp.shape(seq_lengths) != batch:
            raise ValueError(
                f"RNN takes seq_lengths {list(batch)}, one for each sequence of the inputs {list(inputs.shape)}; "
                f"it got {list(jnp.shape(seq_lengths))}"
            )
        if reverse:
            x = flip_sequences(x, seq_lengths)
        if initial_carry is None:
            rngs = self.rngs if rngs is None else rngs
            stream = rngs.carry if isinstance(rngs, Rngs) else rngs
            initial_carry = self.cell.initialize_carry(x.shape[1:], stream)

        advance: Callable[..., Any] = _call
        if self._projects():
            x, advance = self.cell.project(x), _recur  # type: ignore[attr-defined]
        restore = _hold_streams(self.cell, self.broadcast_rngs)
        if seq_lengths is None or not return_carry:
            carry, outputs = self._loop(advance)(self.cell, initial_carry, x)
        else:
            steps = jnp.arange(inputs.shape[time_axis]).reshape(-1, *(1,) * num_batch)
            loop = self._loop(_until_end(advance))
            state = (initial_carry, initial_carry)
            (_, carry), outputs = loop(self.cell, state, (x, steps < seq_lengths))
        restore()

        if reverse and keep_order:
            outputs = jax.tree.map(lambda y: flip_sequences(y, seq_lengths), outputs)
        outputs = jax.tree.map(lambda y: jnp.moveaxis(y, 0, time_axis), outputs)
        return (carry, outputs) if return_carry else outputs

    def _projects(self) -> bool:
        """Whether all steps may be projected at once: nothing in the cell is random, counts, or differs between steps."""
        return (
            type(self.cell).__call__ is ProjectedCell.__call__
            and self.state_axes == SOWN_IS_STACKED
            and all(isinstance(v, Param) for _, v in to_flat_state(variables(self.cell)))
        )

    def _loop(self, advance: Callable[..., Any]) -> Callable[..., Any]:
        same = to_predicate(self.broadcast_rngs)

        def step(cell: RNNCellBase, carry: Carry, x: Any) -> Any:
            streams = _streams(cell, same)
            counts = [stream.count.raw_value for stream in streams]
            out = advance(cell, carry, x)
            for stream, count in zip(streams, counts):
                stream.count.set_raw_value(count)
            return out

        return scan(
            step,
            in_axes=(self.state_axes, axes.Carry, 0),
            out_axes=(axes.Carry, 0),
            unroll=self.unroll,
        )


def _call(cell: RNNCellBase, carry: Carry, x: Any) -> tuple[Carry, Any]:
    return cell(carry, x)


def _recur(cell: ProjectedCell, carry: Carry, projected: Any) -> tuple[Carry, Any]:
    return cell.recur(carry, projected)


def _until_end(advance: Callable[..., Any]) -> Callable[..., Any]:
    """A step that also keeps, for each sequence, the carry after the last step that counts."""

    def step(cell: RNNCellBase, carries: tuple[Carry, Carry], inputs: tuple[Any, Any]) -> Any:
        (carry, last), (x, counts) = carries, inputs
        carry, y = advance(cell, carry, x)

        def select(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(
                counts.reshape(counts.shape + (1,) * (new.ndim - counts.ndim)), new, old
            )

        return (carry, jax.tree.map(select, carry, last)), y

    return step


def _streams(cell: Module, matches: Callable[[tuple, Any], bool]) -> list[RngStream]:
    return [
        node
        for path, node in iter_graph(cell)
        if isinstance(node, RngStream) and matches((*path, "key"), node.key)
    ]


def _hold_streams(cell: Module, filter: Any) -> Callable[[], None]:
    """Give the streams a key of this call alone, the same for all steps; the result puts their own back."""
    streams = _streams(cell, to_predicate(filter)) if filter is not None else []
    own = []
    for stream in streams:
        key = stream()
        own.append((stream, stream.key.raw_value, stream.count.raw_value))
        stream.key.set_raw_value(jax.random.split(key, 1)[0])
        stream.count.set_raw_value(jnp.zeros((), jnp.uint32))

    def restore() -> None:
        for stream, key, count in own:
            stream.key.set_raw_value(key)
            stream.count.set_raw_value(count)

    return restore


def flip_sequences(x: jax.Array, seq_lengths: jax.Array | None) -> jax.Array:
    """Reverse each sequence of ``x`` [time, *batch, ...] within its length (int[*batch]), the padding staying behind it.

    >>> x = jnp.array([[1, 4], [2, 5], [3, 0]])
    >>> flip_sequences(x, jnp.array([3, 2])).tolist()
    [[3, 5], [2, 4], [1, 0]]
    """
    if seq_lengths is None:
        return jnp.flip(x, 0)
    steps = jnp.arange(x.shape[0]).reshape(-1, *(1,) * jnp.ndim(seq_lengths))
    source = (seq_lengths - 1 - steps) % x.shape[0]
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
