"""``nnx.vjp`` and ``nnx.jvp``: products with the Jacobian, with respect to arrays and the Variables of objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph import structure_of
from nnxtrain.nnx.module import Object
from nnxtrain.nnx.state import to_flat_state
from nnxtrain.nnx.transforms.autodiff import DiffState, as_state
from nnxtrain.nnx.transforms.axes import below, is_slot, root_node
from nnxtrain.nnx.transforms.lifted import Call, Lifted, dotted
from nnxtrain.nnx.transforms.loop import Tree
from nnxtrain.nnx.variables import MISSING, MissingType, Variable


def vjp(
    f: Any = MISSING,
    *primals: Any,
    has_aux: bool = False,
    reduce_axes: Sequence[Any] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``f(*primals)`` and a function from cotangents of the result to those of the primals (``jax.vjp``).

    What ``f`` writes reaches the caller's objects.

    Args:
      f: the function. Without primals a function of them is returned, without ``f`` a decorator.
      *primals: arrays, pytrees and objects. The cotangent of an object is a State of all its floating point Variables.
      has_aux: ``f`` returns ``(value, aux)``; the result is then ``(value, vjp_fn, aux)``.
      reduce_axes: must be empty (JAX has retired it).
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> y, pullback = nnx.vjp(lambda model, x: model(x), model, jnp.ones((1, 2)))
    >>> grads, x_bar = pullback(jnp.ones_like(y))
    >>> grads["bias"].value.tolist(), x_bar.shape
    ([1.0, 1.0, 1.0], (1, 2))
    """
    if reduce_axes:
        raise ValueError("nnx.vjp: JAX has retired reduce_axes; use jax.lax.psum in the function")
    options: dict[str, Any] = {"has_aux": has_aux, "graph": graph, "graph_updates": graph_updates}
    if isinstance(f, MissingType):
        return lambda f: lambda *primals: vjp(f, *primals, **options)
    if not primals:
        return lambda *primals: vjp(f, *primals, **options)
    lifted, points = _points("nnx.vjp", f, primals, graph, graph_updates)
    out, pullback, aux = jax.vjp(_pure(lifted, points, has_aux), points.at_arrays, has_aux=True)

    def pull(cotangent: Any) -> Any:
        (gradient,) = pullback(cotangent)
        return points.unpack(gradient)

    user_aux = lifted.attach(points.call, *aux)
    return (out, pull, user_aux) if has_aux else (out, pull)


def jvp(
    f: Any = MISSING,
    primals: Any = MISSING,
    tangents: Any = MISSING,
    *,
    has_aux: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return ``f(*primals)`` and its derivative in the direction of the tangents (``jax.jvp``).

    What ``f`` writes reaches the caller's objects.

    Args:
      f: the function. Without primals a function ``(primals, tangents)`` is returned, without ``f`` a decorator.
      primals: a tuple of arrays, pytrees and objects.
      tangents: a tuple of the same structure; for an object a module of tangents (``jax.tree.map(jnp.ones_like, model)``)
        or a State. Variables that it lacks have tangent zero.
      has_aux: ``f`` returns ``(value, aux)``; the result is then ``(value, tangent, aux)``.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax, jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((1, 2))
    >>> direction = jax.tree.map(jnp.zeros_like, model)
    >>> y, y_dot = nnx.jvp(lambda model, x: model(x), (model, x), (direction, x))
    >>> bool(jnp.allclose(y, y_dot))
    True
    """
    options: dict[str, Any] = {"has_aux": has_aux, "graph": graph, "graph_updates": graph_updates}
    if isinstance(f, MissingType):
        return lambda f: lambda primals, tangents: jvp(f, primals, tangents, **options)
    if isinstance(primals, MissingType):
        return lambda primals, tangents: jvp(f, primals, tangents, **options)
    if isinstance(tangents, MissingType) or len(primals) != len(tangents):
        raise TypeError("nnx.jvp takes a tuple of primals and a tuple of as many tangents")
    lifted, points = _points("nnx.jvp", f, tuple(primals), graph, graph_updates)
    shift = len(lifted.bound_args)
    directions = points.pack({k + shift: t for k, t in enumerate(tangents)}, "the tangent")
    pure = _pure(lifted, points, has_aux)
    out, tangent, aux = jax.jvp(pure, (points.at_arrays,), (directions,), has_aux=True)
    user_aux = lifted.attach(points.call, *aux)
    return (out, tangent, user_aux) if has_aux else (out, tangent)


class Points:
    """Where a function is differentiated: for each argument its arrays, or the values of its object's Variables.

    Args:
      skip: the numbers of arguments that are not differentiated.
      filters: for objects, by argument number, which Variables are (default: all that are floating point).

    Attributes:
      values: of all leaves of the call's objects.
      leaves: argument number -> leaf number -> path, for the arguments that are objects.
      at_arrays: the point itself: argument number -> arrays.
    """

    def __init__(
        self,
        lifted: Lifted,
        call: Call,
        skip: Sequence[int] = (),
        filters: Mapping[int, DiffState] = {},
    ):
        self.name = lifted.name
        self.call = call
        self.values = call.structure.values()
        self.leaves: dict[int, dict[int, tuple]] = {}
        self.trees: dict[int, Tree] = {}
        taken: dict[int, int] = {}
        for k, arg in enumerate(call.args):
            if k in skip:
                continue
            if not is_slot(arg):
                self.trees[k] = Tree(arg)
                continue
            self.leaves[k] = self._leaves(arg, filters.get(k))
            for leaf in self.leaves[k]:
                if leaf in taken:
                    raise ValueError(
                        f"{self.name}: {dotted(call.graphdef.paths[leaf])} is shared by argument {taken[leaf]} and argument "
                        f"{k}; pass them in one object"
                    )
                taken[leaf] = k
        self.at_arrays = {k: tree.arrays for k, tree in self.trees.items()} | {
            k: [self.values[i] for i in leaves] for k, leaves in self.leaves.items()
        }

    def _leaves(self, slot: Any, want: DiffState | None) -> dict[int, tuple]:
        structure = self.call.structure
        return {
            leaf: path
            for leaf, path in self.paths(slot).items()
            if all(map(_is_inexact, jax.tree.leaves(self.values[leaf])))
            and (want is None or want.map_prefix(path, structure.leaves[leaf]))
        }

    def paths(self, slot: Any) -> dict[int, tuple]:
        """Leaf number -> path, of all that an object holds."""
        graphdef = self.call.graphdef
        return below(graphdef, root_node(graphdef, slot.number, len(self.call.roots)))

    def fill(self, at: Any) -> tuple[list[Any], tuple]:
        """The values of all leaves, and the arguments, at another point."""
        values, args = list(self.values), list(self.call.args)
        for k, tree in self.trees.items():
            args[k] = tree.rebuild(at[k])
        for k, leaves in self.leaves.items():
            for leaf, value in zip(leaves, at[k]):
                values[leaf] = value
        return values, tuple(args)

    def as_state(self, k: int, values: list[Any]) -> Any:
        """Values for an object's differentiated Variables, as the caller sees them."""
        return as_state(self.call.structure, self.leaves[k], values)

    def unpack(self, at: Any) -> tuple:
        """A derivative as the caller sees it: a State for an object, else a tree like the argument."""
        return tuple(
            self.as_state(k, at[k]) if k in self.leaves else self.trees[k].rebuild(at[k])
            for k in sorted(at)
        )

    def pack(self, given: Mapping[int, Any], what: str) -> dict[int, list[Any]]:
        """A derivative from the caller's trees; what an object's tree lacks is zero."""
        packed = {}
        for k, tree in given.items():
            if k not in self.leaves:
                packed[k] = Tree(tree).arrays
                continue
            found = values_by_path(tree)
            unknown = set(found) - set(self.paths(self.call.args[k]).values())
            if unknown:
                raise ValueError(
                    f"{self.name}: {what} has {dotted(min(unknown, key=str))} for argument {k}, which has no such Variable"
                )
            packed[k] = [
                found[path] if path in found else jax.tree.map(jnp.zeros_like, self.values[leaf])
                for leaf, path in self.leaves[k].items()
            ]
        return packed


def _points(
    name: str, f: Any, primals: tuple, graph: bool | None, graph_updates: bool | None
) -> tuple[Lifted, Points]:
    lifted = Lifted(f, graph, graph_updates)
    lifted.name = name
    return lifted, Points(lifted, lifted.detach(primals, {}), skip=range(len(lifted.bound_args)))


def _pure(lifted: Lifted, points: Points, has_aux: bool) -> Callable[[Any], Any]:
    def run(at: Any) -> Any:
        values, args = points.fill(at)
        out, sent, note = lifted.run(points.call, values, args, points.call.kwargs)
        value, aux = out if has_aux else (out, None)
        return value, (aux, sent, note)

    return run


def values_by_path(tree: Any) -> dict[tuple, Any]:
    """Path -> value of a State, a module of values, or a Variable."""
    if isinstance(tree, Object | Variable):
        structure = structure_of(tree)
        return dict(zip(structure.graphdef.paths, structure.values()))
    if not isinstance(tree, Mapping):
        raise TypeError(
            f"for an object, a State or a module of values is needed; got a {type(tree).__name__}"
        )
    return {path: v.raw_value if isinstance(v, Variable) else v for path, v in to_flat_state(tree)}


def _is_inexact(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.inexact)
