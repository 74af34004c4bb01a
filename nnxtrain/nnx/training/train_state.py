"""TrainState: a model taken apart, with its optimizer's state, as one immutable pytree for functional loops."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from nnxtrain.nnx.graph.functional import merge, split
from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.graph.state import State
from nnxtrain.nnx.module import struct

T = TypeVar("T", bound="TrainState")


class TrainState(struct.PyTreeNode):
    """What a functional training loop carries. Subclasses add fields with annotations (``batch_stats: nnx.State``).

    Attributes:
      graphdef: the model's static part.
      params: the State that is optimized.
      opt_state: the state of ``tx``, for ``params``.
      step: int32[], the number of updates.
      tx: the optax transformation (static).

    >>> import jax, jax.numpy as jnp, optax
    >>> from nnxtrain import nnx
    >>> graphdef, params = nnx.split(nnx.Linear(2, 1, rngs=nnx.Rngs(0)))
    >>> state = nnx.TrainState.create(graphdef, params=params, tx=optax.sgd(0.1))
    >>> @jax.jit
    ... def train_step(state, x):
    ...     def loss(params):
    ...         y, _ = state.apply(params)(x)
    ...         return y.sum()
    ...     return state.apply_gradients(jax.grad(loss)(state.params))
    >>> state = train_step(state, jnp.ones((1, 2)))
    >>> int(state.step), round(float(state.params.bias.value[0]), 4)
    (1, -0.1)
    """

    graphdef: GraphDef
    params: State
    opt_state: optax.OptState
    step: jax.Array
    tx: optax.GradientTransformation = struct.field(pytree_node=False)

    @classmethod
    def create(
        cls: type[T],
        graphdef: GraphDef,
        *,
        params: State,
        tx: optax.GradientTransformation,
        step: int = 0,
        **kwargs: Any,
    ) -> T:
        """Make a state with a new optimizer state; ``kwargs`` are a subclass's fields."""
        return cls(
            graphdef=graphdef,
            params=params,
            opt_state=tx.init(params),
            # an explicit dtype: a weak type is lost in a file, and steps would compile anew
            step=jnp.asarray(step, jnp.int32),
            tx=tx,
            **kwargs,
        )

    def apply(self, state: State | str, *states: State | str) -> Apply:
        """Call the model with these states: ``state.apply("params", rest)(x)``, or a method: ``.apply("params").encode(x)``.

        Args:
          state, *states: States that together have all the model's paths, or names of fields that hold such.

        Returns:
          what, when called, returns ``(output, (graphdef, state))``: the model's output, and the model after the call.

        Raises:
          TypeError: a name is that of no State.
        """
        found = [getattr(self, s) if isinstance(s, str) else s for s in (state, *states)]
        for given, held in zip((state, *states), found):
            if not isinstance(held, State):
                raise TypeError(
                    f"{type(self).__name__}.apply takes States, or names of fields that hold them; {given!r} is a "
                    f"{type(held).__name__}"
                )
        return Apply(self.graphdef, tuple(found))

    def apply_gradients(self: T, grads: State, **kwargs: Any) -> T:
        """Return the state after one optimizer step; ``kwargs`` replace other fields on the way."""
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, updates)
        return self.replace(params=params, opt_state=opt_state, step=self.step + 1, **kwargs)


class Apply:
    """A model yet to be merged: attributes lead to its methods, the call merges it, and splits it again afterwards."""

    __slots__ = ("_graphdef", "_names", "_states")

    def __init__(self, graphdef: GraphDef, states: tuple[State, ...], names: tuple[Any, ...] = ()):
        self._graphdef = graphdef
        self._states = states
        self._names = names

    def __getattr__(self, name: str) -> Apply:
        return Apply(self._graphdef, self._states, (*self._names, name))

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, tuple[GraphDef, State]]:
        model = merge(self._graphdef, *self._states)
        function = model
        for name in self._names:
            function = getattr(function, name)
        output = function(*args, **kwargs)
        return output, split(model)
