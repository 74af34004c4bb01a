"""``nnx.cond``, ``switch``, ``while_loop`` and ``fori_loop``: JAX's control flow for functions of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.transforms.axes import Carry, LeafAxes
from nnxtrain.nnx.transforms.branch import Branches
from nnxtrain.nnx.transforms.lifted import Lifted
from nnxtrain.nnx.transforms.loop import Body


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``true_fun(*operands)`` if ``pred`` else ``false_fun(*operands)`` (``jax.lax.cond``).

    The branches may write to different Variables of the operands; they must leave the same structure.

    Args:
      pred: bool scalar, may be traced.
      graph, graph_updates: as in :func:`nnx.vmap`.

    Raises:
      StructureError: the branches leave different structures, or return different trees.
      TypeError: they return, or write to one Variable, different shapes or dtypes.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> def up(counter):
    ...     counter.value += 1
    >>> counter = nnx.Variable(jnp.array(0))
    >>> nnx.cond(True, up, lambda counter: None, counter); int(counter.value)
    1
    """
    branches = Branches(
        "nnx.cond", {"true_fun": true_fun, "false_fun": false_fun}, operands, graph, graph_updates
    )
    first, second = branches.functions
    return branches.attach(jax.lax.cond(pred, first, second, branches.arrays))


def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``branches[index](*operands)`` (``jax.lax.switch``); the index is clamped to the branches there are.

    As :func:`nnx.cond`, with any number of branches.

    >>> from nnxtrain import nnx
    >>> float(nnx.switch(1, [lambda x: x, lambda x: -x], 2.0))
    -2.0
    """
    if not branches:
        raise ValueError("nnx.switch needs at least one branch")
    named = {f"branch {i}": branch for i, branch in enumerate(branches)}
    traced = Branches("nnx.switch", named, operands, graph, graph_updates)
    return traced.attach(jax.lax.switch(index, traced.functions, traced.arrays))


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Repeat ``val = body_fun(val)`` while ``cond_fun(val)`` holds (``jax.lax.while_loop``).

    Args:
      cond_fun: ``val -> bool scalar``; it must not write.
      body_fun: ``val -> val``; objects in it stay the same objects, their Variables may be written.
      init_val: the first ``val``: a pytree of arrays and objects.
      graph, graph_updates: as in :func:`nnx.vmap`.

    Returns:
      the last ``val``, with the objects of ``init_val``.

    Raises:
      StructureError: the body changes the structure.
      TypeError: the body changes a shape or dtype.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> double = nnx.Linear(1, 1, kernel_init=lambda *_: jnp.full((1, 1), 2.0), rngs=nnx.Rngs(0))
    >>> def body(val):
    ...     model, x, i = val
    ...     return model, model(x), i + 1
    >>> nnx.while_loop(lambda val: val[2] < 3, body, (double, jnp.ones(1), 0))[1].tolist()
    [8.0]
    """
    condition = Lifted("nnx.while_loop", cond_fun)
    loop = _Loop("nnx.while_loop", body_fun, init_val, graph, graph_updates, also=condition.bound)

    def goes_on(state: Any) -> Any:
        values, bound, val = loop.at(state)
        out, sent, note = condition.run(loop.call, values, (*bound, val), {})
        if note.patch is not None or sent:
            names = [loop.axes.names[i] for i in note.changed] or ["an object"]
            raise ValueError(f"nnx.while_loop: cond_fun writes {names[0]}; only body_fun may write")
        return out

    state = jax.lax.while_loop(goes_on, lambda s: loop.body(s)[0], loop.body.start())
    return loop.finish(state)


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Repeat ``val = body_fun(i, val)`` for i from ``lower`` to ``upper - 1`` (``jax.lax.fori_loop``).

    With Python ints as bounds it can be differentiated in reverse.

    Args:
      body_fun: ``(i, val) -> val``; objects in it stay the same objects, their Variables may be written.
      unroll: how many steps to lay out in one iteration (static bounds only).
      graph, graph_updates: as in :func:`nnx.vmap`.

    Raises:
      StructureError: the body changes the structure.
      TypeError: the body changes a shape or dtype.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> total = nnx.Variable(jnp.array(0))
    >>> def body(i, total):
    ...     total.value += i
    ...     return total
    >>> int(nnx.fori_loop(0, 5, body, total).value)
    10
    """
    dtype = jnp.result_type(lower, upper)
    index = jax.ShapeDtypeStruct((), jax.dtypes.canonicalize_dtype(dtype))
    loop = _Loop("nnx.fori_loop", body_fun, init_val, graph, graph_updates, index)

    def step(i: Any, state: Any) -> Any:
        return loop.body(state, jnp.asarray(i, index.dtype))[0]

    return loop.finish(jax.lax.fori_loop(lower, upper, step, loop.body.start(), unroll=unroll))


class _Loop:
    """A loop in which everything is carried: ``init_val``, and the objects that the functions are bound to.

    Args:
      index: the shape of what the body takes in front of the carry, if it does.
      also: objects that another function of the loop is bound to.
    """

    def __init__(
        self,
        name: str,
        body_fun: Any,
        init_val: Any,
        graph: bool | None,
        graph_updates: bool | None,
        index: Any = None,
        also: tuple = (),
    ):
        lifted = Lifted(name, body_fun, graph, graph_updates)
        bound, lifted.bound = lifted.bound, ()
        call = lifted.detach((bound, also, init_val), {})
        self.lifted, self.call = lifted, call
        self.axes = LeafAxes(name, call.structure, [[Carry]] * len(call.roots))
        bound, self.also, val = call.args

        def step(values: Any, carry: Any, index: Any) -> Any:
            given = (*bound, carry) if index is None else (*bound, index, carry)
            out, sent, note = lifted.run(call, values, given, {})
            return out, (), sent, note

        self.body = Body(name, call, self.axes, step, val, index, {})

    def at(self, state: Any) -> tuple[list[Any], tuple, Any]:
        """All values, the other function's objects and the carried argument (with Slots), in one state of the loop."""
        arrays, carried = state
        values = list(self.body.values)
        for number, value in zip(self.body.carried, self.body.values_at(carried)):
            values[number] = value
        return values, self.also, self.body.carry.rebuild(arrays)

    def finish(self, state: Any) -> Any:
        carry, sent = self.body.gather(state, [])
        return self.lifted.attach(self.call, carry, sent, self.body.note)
