"""Optimizer: an optax transformation with its state, as an object of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.state import State, from_flat_state, to_flat_state
from nnxtrain.nnx.graph.structure import structure_of
from nnxtrain.nnx.module.containers import Dict, List
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.constants import constant
from nnxtrain.nnx.training.initial_state import initial_state
from nnxtrain.nnx.variable.variable import OptArray, OptState, OptVariable, Param, Variable


class Optimizer(Module):
    """Holds the state of an optax transformation for some Variables of a model.

    Args:
      model: the model whose Variables are optimized.
      tx: an ``optax.GradientTransformation``. It sees the parameters as a State (nested by path).
      wrt: which Variables: a filter, usually ``nnx.Param``.

    The optimizer remembers its model for ``update(grads)``, but the model is no part of the optimizer's own state.

    >>> import jax.numpy as jnp, optax
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    >>> optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    >>> grads = nnx.grad(lambda m: m(jnp.ones((1, 2))).sum())(model)
    >>> optimizer.update(model, grads)
    >>> f"{model.bias.value[0]:.3f}", int(optimizer.step.value)
    ('-0.100', 1)
    """

    def __init__(self, model: Any, tx: optax.GradientTransformation, *, wrt: Any):
        if not hasattr(tx, "init") or not hasattr(tx, "update"):
            raise TypeError(
                f"an Optimizer takes an optax transformation, such as optax.adam(1e-3); it got {tx!r}"
            )
        self.step = OptState(constant(0, (), np.uint32))
        self.tx = tx
        self.wrt = wrt
        params = _params(model, wrt)
        self.opt_state = _boxed(initial_state(tx, _pure(params)))
        object.__setattr__(self, "_link", model)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """``update(model, grads)`` or ``update(grads)``: one optimizer step; the model's Variables are written in place.

        Args:
          model: the model; without it, the one the optimizer was made for, which must then be an argument of the
            transformed function too.
          grads: a State of gradients, as ``nnx.grad`` returns it (or a module of them, as ``jax.grad`` does).
          **kwargs: handed to ``tx.update`` (a loss value for line searches, say), Variables in them as arrays.

        Raises:
          TypeError: the gradients are no State.
          ValueError: an optimized Variable has no gradient, or the model was not passed. (Gradients of other Variables
            are left alone: they may be another optimizer's.)
        """
        args += tuple(kwargs.pop(name) for name in ("model", "grads") if name in kwargs)
        if len(args) == 2:
            model, grads = args
            if isinstance(model, State) and isinstance(grads, Module):
                raise TypeError(
                    "optimizer.update takes (model, grads); it got them the other way round"
                )
        elif len(args) == 1:
            (grads,) = args
            model = self._link
            if model is None:
                raise ValueError(
                    "optimizer.update(grads) needs the model, which was not passed to this transformed function (or "
                    "nnx.clone, nnx.split) along with the optimizer; pass it, or call optimizer.update(model, grads)"
                )
        else:
            raise TypeError(f"update takes (grads) or (model, grads); it got {len(args)} arguments")
        targets = _params(model, self.wrt)
        params = _pure(targets)
        boxes = _untracked(self.opt_state)
        tx = optax.with_extra_args_support(self.tx)
        updates, new_state = tx.update(
            self._pure_gradients(grads, targets), _unboxed(boxes), params, **_unboxed(kwargs)
        )
        new_params = dict(to_flat_state(optax.apply_updates(params, updates)))
        for path, variable in targets:
            variable.set_value(new_params[path])
        _rebox(boxes, new_state)
        self.step.value += 1

    def _pure_gradients(self, grads: Any, targets: list[tuple[tuple, Variable]]) -> State:
        """The gradients of the optimized Variables as arrays by path; those of others belong to another optimizer."""
        if not isinstance(grads, Module | Mapping | Variable):
            raise TypeError(
                f"the gradients are a {type(grads).__name__}; pass the State that nnx.grad returns for the model"
            )
        flat = _params(grads, ...) if isinstance(grads, Module) else to_flat_state(grads)
        given = {path: g.raw_value if isinstance(g, Variable) else g for path, g in flat}
        missing = [path for path, _ in targets if path not in given]
        if missing:
            raise ValueError(
                f"there is no gradient for {'.'.join(map(str, missing[0]))}, which wrt={self.wrt!r} is to optimize: give "
                "nnx.grad and nnx.Optimizer the same filter (for grad: argnums=nnx.DiffState(0, filter))"
            )
        return from_flat_state([(path, given[path]) for path, _ in targets])


class ModelAndOptimizer(Optimizer):
    """An Optimizer that holds its model as ``.model``, a part of its state."""

    def __init__(self, model: Any, tx: optax.GradientTransformation, *, wrt: Any = Param):
        super().__init__(model, tx, wrt=wrt)
        self.model = model


def _params(model: Any, wrt: Any) -> list[tuple[tuple, Variable]]:
    """Path and live Variable of everything that is optimized."""
    structure = structure_of(model)
    predicate = to_predicate(wrt)
    return [
        (path, leaf)
        for path, leaf in zip(structure.graphdef.paths, structure.leaves)
        if isinstance(leaf, Variable) and predicate(path, leaf)
    ]


def _pure(targets: list[tuple[tuple, Variable]]) -> State:
    return from_flat_state([(path, variable.raw_value) for path, variable in targets])


def _boxed(tree: Any) -> Any:
    """Put each array of an optax state into a Variable: OptVariable for a parameter's, OptArray for the others."""
    return jax.tree.map(
        lambda part: jax.tree.map(OptVariable, part) if isinstance(part, State) else OptArray(part),
        tree,
        is_leaf=lambda part: isinstance(part, State),
    )


def _is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def _untracked(tree: Any) -> Any:
    """The optax state with plain lists and dicts in the place of the tracked ones that an attribute gets."""
    if isinstance(tree, List):
        return [_untracked(item) for item in tree]
    if isinstance(tree, Dict):
        return {key: _untracked(item) for key, item in tree.items()}
    return jax.tree.map(
        lambda part: _untracked(part) if isinstance(part, List | Dict) else part,
        tree,
        is_leaf=lambda part: isinstance(part, List | Dict | Variable),
    )


def _unboxed(tree: Any) -> Any:
    """The tree with each Variable's array: an optax state as ``tx.init`` made it."""
    return jax.tree.map(
        lambda x: x.raw_value if isinstance(x, Variable) else x, tree, is_leaf=_is_variable
    )


def _rebox(boxes: Any, new_state: Any) -> None:
    """Write a new optax state into the Variables that hold the old one."""
    old = jax.tree.leaves(boxes, is_leaf=_is_variable)
    new = jax.tree.leaves(new_state)
    expected: Any = jax.tree.structure(_unboxed(boxes))
    if jax.tree.structure(new_state) != expected:
        raise ValueError(
            "the optimizer's state changed its structure in an update, and optax states must keep theirs; if the model "
            "got or lost parameters since, make a new optimizer"
        )
    for box, value in zip(old, new):
        box.set_value(value)
