"""EMA: the exponential moving average of a model's Variables."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph.functional import state
from nnxtrain.nnx.graph.state import State, from_flat_state, to_flat_state
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.variable.variable import Variable

M = TypeVar("M")


class EMA(Module):
    """Shadow copies of Variables that follow them slowly: ``ema = decay * ema + (1 - decay) * new`` at each update.

    Args:
      params: a model, or a State.
      decay: between 0 and 1; 0.999 averages about the last 1000 updates.
      only: a filter of the Variables to follow, such as ``nnx.Param``.

    Values that are no floating-point numbers (counts, keys) are not averaged, the newest is taken. The average has the
    dtype of the Variable; in bfloat16, of which 256 and 257 are the same, it stands still for decays near 1.

    Raises:
      TypeError: a leaf is no Variable; leave it out with ``only``.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    >>> model.kernel.value = jnp.zeros((1, 1))
    >>> ema = nnx.EMA(model, decay=0.9)
    >>> averaged = ema.apply_to(model)
    >>> model.kernel.value = jnp.ones((1, 1))
    >>> ema.update(model)
    >>> round(float(averaged.kernel.value[0, 0]), 3)
    0.1
    """

    def __init__(self, params: Any, decay: float, *, only: Any = ...):
        self.decay = decay
        self.filter = only
        self.params = self._shadow(params)

    def _shadow(self, params: Any) -> State:
        flat = to_flat_state(state(params, self.filter))
        for path, leaf in flat:
            if not isinstance(leaf, Variable):
                raise TypeError(
                    f"EMA follows Variables, and {'.'.join(map(str, path))} is a {type(leaf).__name__}; "
                    "leave it out with `only`"
                )
        copies = [(path, v.replace(jax.tree.map(jnp.copy, v.raw_value))) for path, v in flat]
        shadow: State = from_flat_state(copies)
        return shadow

    def update(self, updates: Any) -> None:
        """Move the averages towards the values of ``updates``: the model, or a State of its paths.

        Raises:
          ValueError: a path that is followed is not in ``updates``, or the reverse, or a value that is a pytree has
            another structure there.
        """
        new = dict(to_flat_state(state(updates, self.filter)))
        held = dict(to_flat_state(self.params))
        if odd := new.keys() ^ held.keys():
            path = min(odd, key=str)
            raise ValueError(
                f"{'.'.join(map(str, path))} is not in the {'updates' if path in held else 'EMA'}: EMA.update takes "
                "the model (or State) that the EMA was made of"
            )
        for path, average in held.items():
            old, value = average.get_value(), new[path].get_value()
            here: Any = jax.tree.structure(old)
            there: Any = jax.tree.structure(value)
            if here != there:
                raise ValueError(
                    f"{'.'.join(map(str, path))} holds {there}, and in the EMA {here}: make a new EMA"
                )
            average.set_value(jax.tree.map(self._averaged, old, value))

    def _averaged(self, average: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(average.dtype, jnp.inexact):
            return jnp.copy(new)  # a buffer of its own: either may be donated without the other
        return (self.decay * average + (1.0 - self.decay) * new).astype(average.dtype)

    def apply_to(self, model: M) -> M:
        """Return a copy of the model whose followed Variables are the averages themselves: later updates show in it.

        Its other Variables are copies of the model's as they are now.
        """
        structure = walk(model)
        averages = dict(to_flat_state(self.params))
        graphdef = structure.graphdef
        known = {
            number: averages[path]
            for number, path in zip(graphdef.leaf_nodes, graphdef.paths)
            if path in averages
        }
        return graphdef.build(structure.values(), known)[0]
