"""``nnx.grad`` and ``nnx.value_and_grad``: derivatives with respect to the Variables of objects."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.state import from_flat_state
from nnxtrain.nnx.graph.structure import Structure
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.axes import below, root_node
from nnxtrain.nnx.transforms.lifted import Lifted
from nnxtrain.nnx.variable.variable import MISSING, MissingType, Param, Variable


class DiffState:
    """Names an argument and the Variables of it to differentiate: ``DiffState(0, nnx.LoRAParam)``."""

    def __init__(self, argnum: int, filter: Any):
        self.argnum = argnum
        self.filter = filter

    def map_prefix(self, path: tuple, variable: Any) -> bool:
        """True for a Variable that is to be differentiated."""
        return to_predicate(self.filter)(path, variable)


def grad(
    f: Any = MISSING,
    *,
    argnums: int | DiffState | Sequence[int | DiffState] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return a function that computes the gradient of ``f``; see :func:`value_and_grad`.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    >>> grads = nnx.grad(lambda m: m(jnp.ones((1, 2))).sum())(model)
    >>> grads["kernel"].value.tolist()
    [[1.0], [1.0]]
    """
    options: dict[str, Any] = {
        "has_aux": has_aux, "holomorphic": holomorphic, "allow_int": allow_int, "graph": graph,
        "graph_updates": graph_updates,
    }  # fmt: skip
    return _transform(f, "nnx.grad", argnums, reduce_axes, options, with_value=False)


def value_and_grad(
    f: Any = MISSING,
    *,
    argnums: int | DiffState | Sequence[int | DiffState] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return a function that computes ``f`` and its gradient.

    Args:
      f: a function with a scalar result; it may change its objects (BatchNorm statistics, random counts), and the
        changes reach the caller.
      argnums: which arguments of the call to differentiate. Those that a ``functools.partial`` carries do not count; the
        object of a bound method, or a callable object, is number 0. For an object: its Params, or what a
        :class:`DiffState` names; the gradient is then a State. For anything else: the argument itself, as in ``jax.grad``.
      has_aux: ``f`` returns ``(value, aux)``; the result is then ``((value, aux), grads)``.
      holomorphic, allow_int: as in ``jax.grad``.
      reduce_axes: must be empty (JAX has retired it).
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    Returns:
      ``(value, grads)``; ``grads`` is a tuple where ``argnums`` is a sequence.

    Raises:
      TypeError: an argnum that the call does not have.
      ValueError: a Variable is below two of the differentiated arguments.
    """
    options: dict[str, Any] = {
        "has_aux": has_aux, "holomorphic": holomorphic, "allow_int": allow_int, "graph": graph,
        "graph_updates": graph_updates,
    }  # fmt: skip
    return _transform(f, "nnx.value_and_grad", argnums, reduce_axes, options, with_value=True)


def _transform(
    f: Any, name: str, argnums: Any, reduce_axes: Any, options: dict[str, Any], *, with_value: bool
) -> Any:
    if reduce_axes:
        raise ValueError(f"{name}: JAX has retired reduce_axes; use jax.lax.psum in the function")
    if isinstance(f, MissingType):
        return lambda f: GradFunction(f, name, argnums, with_value=with_value, **options)
    return GradFunction(f, name, argnums, with_value=with_value, **options)


class GradFunction(Lifted):
    """A function that returns gradients; made by :func:`grad` and :func:`value_and_grad`."""

    def __init__(
        self,
        f: Any,
        name: str,
        argnums: Any,
        *,
        has_aux: bool,
        holomorphic: bool,
        allow_int: bool,
        with_value: bool,
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__(name, f, graph, graph_updates)
        self.single = isinstance(argnums, int | DiffState)
        wanted = [
            w if isinstance(w, DiffState) else DiffState(w, Param)
            for w in ((argnums,) if self.single else argnums)
        ]
        bound = len(self.bound) if isinstance(f, functools.partial) else 0
        self.wanted = tuple(
            DiffState(w.argnum + bound if w.argnum >= 0 else w.argnum, w.filter) for w in wanted
        )
        self.has_aux = has_aux
        self.with_value = with_value
        self.options: dict[str, Any] = {"holomorphic": holomorphic, "allow_int": allow_int}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self.detach(args, kwargs)
        structure, roots, args, kwargs = call
        chosen = [self._leaves_of(w, args, structure, len(roots)) for w in self.wanted]
        self._check_disjoint(chosen)
        values = structure.values()
        points = [
            [values[i] for i in c] if c is not None else args[w.argnum]
            for w, c in zip(self.wanted, chosen)
        ]

        def pure(points: list[Any]) -> tuple[Any, tuple]:
            inner, inner_args = list(values), list(args)
            for want, leaves, point in zip(self.wanted, chosen, points):
                if leaves is None:
                    inner_args[want.argnum] = point
                else:
                    for leaf, value in zip(leaves, point):
                        inner[leaf] = value
            out, sent, note = self.run(call, inner, tuple(inner_args), kwargs)
            value, aux = out if self.has_aux else (out, None)
            return value, (aux, sent, note)

        (value, (aux, sent, note)), grads = jax.value_and_grad(pure, has_aux=True, **self.options)(
            points
        )
        aux = self.attach(call, aux, sent, note)
        results = tuple(
            gradient if leaves is None else as_state(structure, leaves, gradient)
            for leaves, gradient in zip(chosen, grads)
        )
        result = results[0] if self.single else results
        if self.with_value:
            return ((value, aux) if self.has_aux else value), result
        return (result, aux) if self.has_aux else result

    def _leaves_of(
        self, want: DiffState, args: tuple, structure: Structure, num_roots: int
    ) -> dict[int, tuple] | None:
        """Leaf number -> path of what to differentiate, or None for an argument without an object."""
        if not -len(args) <= want.argnum < len(args):
            raise TypeError(
                f"{self.name} is to differentiate argument {want.argnum}, but the call has {len(args)}"
            )
        arg = args[want.argnum]
        if not isinstance(arg, lift.Slot):
            return None
        found = {}
        node = root_node(structure.graphdef, arg.number, num_roots)
        for number, path in below(structure.graphdef, node).items():
            leaf = structure.leaves[number]
            if isinstance(leaf, Variable) and want.map_prefix(path, leaf):
                found[number] = path
        return found

    def _check_disjoint(self, chosen: list[dict[int, tuple] | None]) -> None:
        """One Variable has one gradient: it cannot be asked for under two arguments."""
        seen: dict[int, int] = {}
        for want, leaves in zip(self.wanted, chosen):
            for number, path in (leaves or {}).items():
                if number in seen:
                    raise ValueError(
                        f"{self.name} is to differentiate {'.'.join(map(str, path)) or 'a Variable'} twice: arguments "
                        f"{seen[number]} and {want.argnum} share it. Leave one of them out of argnums"
                    )
                seen[number] = want.argnum


def as_state(structure: Structure, paths: dict[int, tuple], gradient: list[Any]) -> Any:
    """A State of the leaves (number -> path) with new values; the Variable itself, if the argument is one."""
    leaves: list[Any] = structure.leaves
    flat = [(path, leaves[number].replace(g)) for (number, path), g in zip(paths.items(), gradient)]
    if len(flat) == 1 and not flat[0][0]:
        return flat[0][1]  # the argument is a Variable itself
    return from_flat_state(flat)
