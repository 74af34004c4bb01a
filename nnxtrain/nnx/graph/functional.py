"""split, merge, update, state, clone, pop: the functions between objects and pure values.

What they return shares no Variable with the original: neither side sees the other's later writes. The arrays
themselves are shared, not copied.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.filters import split_by, to_predicate
from nnxtrain.nnx.graph.graphdef import GraphDef, Path, VariableDef
from nnxtrain.nnx.graph.state import State, from_flat_state, to_flat_state
from nnxtrain.nnx.graph.structure import ArraySlot, Structure, require_tree, structure_of, walk
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.variable.variable import Variable


def _structure(node: Any, graph: bool | None = None) -> Structure:
    structure = structure_of(node) if isinstance(node, Object | Variable) else walk(node)
    return require_tree(structure, graph)


def _snapshot(structure: Structure) -> list[tuple[Path, Any]]:
    return [
        (path, leaf.replace() if isinstance(leaf, Variable) else leaf._value)
        for path, leaf in zip(structure.graphdef.paths, structure.leaves)
    ]


def _states(
    flat: list[tuple[Path, Any]], filters: tuple[Any, ...], *, exhaustive: bool
) -> tuple[State, ...]:
    if not filters:
        return (from_flat_state(flat),)
    return tuple(from_flat_state(group) for group in split_by(flat, filters, exhaustive=exhaustive))


def split(node: Any, *filters: Any, graph: bool | None = None) -> tuple[Any, ...]:
    """Split a graph into its static GraphDef and one State for each filter (without filters: one).

    Args:
      node: an object, a Variable, or a pytree of them.
      *filters: see :mod:`nnxtrain.nnx.graph.filters`; a leaf goes to the first that takes it.
      graph: False makes shared references an error.

    Raises:
      ValueError: a leaf is taken by no filter.

    >>> from nnxtrain import nnx
    >>> graphdef, params, rest = nnx.split(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), nnx.Param, ...)
    >>> sorted(params), sorted(rest)
    (['bias', 'scale'], ['mean', 'var'])
    """
    structure = _structure(node, graph)
    return structure.graphdef, *_states(_snapshot(structure), filters, exhaustive=True)


def merge(
    graphdef_or_graphstate: GraphDef,
    /,
    *states: Any,
    copy: bool = False,
    recreate_variables: bool = True,
) -> Any:
    """Build the objects of a GraphDef with the values of the states. The inverse of :func:`split`.

    Args:
      graphdef_or_graphstate: the GraphDef.
      *states: States (or nested dicts) that together have each of its paths; or one list of the leaves in order.
      copy: the Variables are copies in any case; the arrays never are.
      recreate_variables: False leaves a value that is no Variable as it is, in the place of its Variable.

    Raises:
      ValueError: a path is missing from the states, or unknown to the GraphDef.
      TypeError: no state is given.

    >>> from nnxtrain import nnx
    >>> graphdef, state = nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    >>> nnx.merge(graphdef, state)(state.kernel.value.T).shape
    (3, 3)
    """
    graphdef = graphdef_or_graphstate
    if not isinstance(graphdef, GraphDef):
        raise TypeError(f"nnx.merge takes a GraphDef first; it got a {type(graphdef).__name__}")
    if not states:
        raise TypeError("nnx.merge needs a state beside the GraphDef")
    leaves = _leaves_of(graphdef, states)
    return _rebuild(graphdef, leaves, recreate_variables)


def _leaves_of(graphdef: GraphDef, states: tuple[Any, ...]) -> list[Any]:
    """The values of the states in the order of the GraphDef's leaves."""
    if len(states) == 1 and isinstance(states[0], list):
        flat = [leaf[1] if _is_item(leaf) else leaf for leaf in states[0]]
        if len(flat) != graphdef.num_leaves:
            raise ValueError(
                f"the GraphDef has {graphdef.num_leaves} leaves, and {len(flat)} were given"
            )
        return flat
    found: dict[int, Any] = {}
    unexpected = []
    for part in states:
        for path, value in to_flat_state(part):
            leaf = graphdef.leaf_at(path)
            if leaf is None:
                unexpected.append(path)
            else:
                found[leaf] = value
    missing = [path for leaf, path in enumerate(graphdef.paths) if leaf not in found]
    if missing or unexpected:
        raise ValueError("the states do not fit the GraphDef: " + _differences(missing, unexpected))
    return [found[leaf] for leaf in range(graphdef.num_leaves)]


def _is_item(leaf: Any) -> bool:
    return isinstance(leaf, tuple) and len(leaf) == 2 and isinstance(leaf[0], tuple)


def _rebuild(graphdef: GraphDef, leaves: list[Any], recreate: bool, share: bool = False) -> Any:
    """Build the root. ``recreate``: bare values get Variables; ``share``: Variables are used as they are."""
    known = {}
    for number, leaf in zip(graphdef.leaf_nodes, leaves):
        bare = isinstance(graphdef.nodes[number], VariableDef) and not isinstance(leaf, Variable)
        if (bare and not recreate) or (share and isinstance(leaf, Variable)):
            known[number] = leaf
    return graphdef.build(leaves, known)[0]


def flatten(
    node: Any, /, *, with_paths: bool = True, graph: bool | None = None
) -> tuple[GraphDef, list[Any]]:
    """The GraphDef, and the list of ``(path, leaf)`` with the live Variables themselves.

    Without paths it is the list of the present values.

    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> graphdef, leaves = nnx.flatten(model)
    >>> [path for path, _ in leaves], leaves[1][1] is model.bias
    ([('kernel',), ('bias',)], True)
    """
    structure = _structure(node, graph)
    if not with_paths:
        return structure.graphdef, structure.values()
    return structure.graphdef, _live(structure)


def _live(structure: Structure) -> list[tuple[Path, Any]]:
    leaves = (x if isinstance(x, Variable) else x._value for x in structure.leaves)
    return list(zip(structure.graphdef.paths, leaves))


def unflatten(
    graphdef: GraphDef,
    state: State | Mapping | Iterable[Any],
    /,
    *,
    copy_variables: bool = False,
    recreate_variables: bool = True,
) -> Any:
    """The inverse of :func:`flatten`. The new objects hold the very Variables of ``state``.

    Args:
      graphdef: what to build.
      state: what :func:`flatten` returned, a State, or a list of the leaves in order.
      copy_variables: hold copies of the Variables.
      recreate_variables: as in :func:`merge`.

    Raises:
      ValueError: the leaves do not fit the GraphDef.

    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.unflatten(*nnx.flatten(model)).bias is model.bias
    True
    """
    part = state if isinstance(state, Mapping | Variable) else list(state)
    leaves = _leaves_of(graphdef, (part,))
    return _rebuild(graphdef, leaves, recreate_variables, share=not copy_variables)


def _differences(missing: Any, unexpected: Any) -> str:
    parts = []
    for what, paths in (("missing", missing), ("unexpected", unexpected)):
        names = sorted(".".join(map(str, p)) for p in paths)
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{what} {', '.join(names[:5])}{more}")
    return "; ".join(parts)


def state(node: Any, *filters: Any, graph: bool | None = None) -> Any:
    """The values of a graph: one State, or one for each filter. What no filter takes is left out.

    >>> from nnxtrain import nnx
    >>> nnx.state(nnx.BatchNorm(2, rngs=nnx.Rngs(0)), nnx.BatchStat).to_pure_dict().keys()
    dict_keys(['mean', 'var'])
    """
    return _one_or_all(_states(_snapshot(_structure(node, graph)), filters, exhaustive=False))


def variables(node: Any, *filters: Any, graph: bool | None = None) -> Any:
    """Like :func:`state`, with the live Variables themselves in place of copies (array attributes are left out).

    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.variables(model).bias is model.bias
    True
    """
    flat = [item for item in _live(_structure(node, graph)) if isinstance(item[1], Variable)]
    return _one_or_all(_states(flat, filters, exhaustive=False))


def _one_or_all(states: tuple[State, ...]) -> Any:
    return states[0] if len(states) == 1 else states


def graphdef(node: Any, /, *, graph: bool | None = None) -> GraphDef:
    """The static part of a graph."""
    return _structure(node, graph).graphdef


def update(node: Any, state: Any, /, *states: Any) -> None:
    """Write the values of states into the graph's Variables, in place; other paths keep theirs.

    Any path to a shared Variable will do.

    Raises:
      ValueError: a path that the graph does not have. Nothing was written then.

    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.update(model, {"bias": jnp.ones(3)})
    >>> model.bias.value.tolist()
    [1.0, 1.0, 1.0]
    """
    structure = _structure(node)
    writes = []
    for part in (state, *states):
        for path, value in to_flat_state(part):
            number = structure.graphdef.leaf_at(path)
            if number is None:
                raise ValueError("the state does not fit the graph: " + _differences([], [path]))
            leaf = structure.leaves[number]
            if not isinstance(leaf, Variable | ArraySlot):
                raise StructureError(
                    f"{'.'.join(map(str, path))} is an array inside an immutable container; "
                    "put it into a Variable so that it can be updated"
                )
            writes.append((leaf, value.get_raw_value() if isinstance(value, Variable) else value))
    for leaf, value in writes:
        if isinstance(leaf, Variable):
            leaf.set_raw_value(value)
        else:
            leaf._value = value


def clone(
    node: Any, variables: bool = True, *, arrays: bool = False, graph: bool | None = None
) -> Any:
    """A copy of the graph.

    Args:
      node: an object, a Variable, or a pytree of them.
      variables: False: the copy holds the very same Variables.
      arrays: copy the arrays too.
      graph: False makes shared references an error.

    Raises:
      ValueError: ``arrays`` without ``variables``.

    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> copied = nnx.clone(model)
    >>> copied.bias[...] = 1.0
    >>> float(model.bias.sum())
    0.0
    """
    if arrays and not variables:
        raise ValueError("nnx.clone(arrays=True) copies the Variables too; leave variables=True")
    structure = require_tree(walk(node), graph)
    if not variables:
        return _rebuild(
            structure.graphdef, [leaf for _, leaf in _live(structure)], True, share=True
        )
    values = structure.values()
    return structure.graphdef.build(jax.tree.map(_copy, values) if arrays else values)[0]


def _copy(leaf: Any) -> Any:
    return jnp.copy(leaf) if isinstance(leaf, jax.Array) else copy.copy(leaf)


def pop(node: Any, *filters: Any) -> Any:
    """Take the Variables that the filters mean out of the graph, and return their state(s).

    Raises:
      ValueError: no filter is given.
      StructureError: a Variable cannot be taken out, because no object holds it as its attribute or item.
    """
    if not filters:
        raise ValueError("nnx.pop needs a filter: which Variables to take out")
    structure = walk(node)
    predicate = to_predicate(list(filters))
    taken = {
        id(leaf): (path, leaf.replace())
        for path, leaf in zip(structure.graphdef.paths, structure.leaves)
        if isinstance(leaf, Variable) and predicate(path, leaf)
    }
    numbers = {i for i, node in enumerate(structure.nodes) if id(node) in taken}
    places = [
        (container, key, ref)
        for container, attributes in zip(structure.nodes, structure.graphdef.attributes)
        for key, ref in attributes
        if type(ref) is int and ref in numbers
    ]
    removable = {ref for container, _, ref in places if isinstance(container, Object)}
    fixed = {ref for container, _, ref in places if not isinstance(container, Object)}
    fixed |= numbers - removable
    if fixed:
        path = (
            ".".join(map(str, structure.graphdef.node_paths[min(fixed)])) or "the Variable itself"
        )
        raise StructureError(
            f"nnx.pop cannot take {path} out of what holds it, which is immutable; use a list in place of a tuple"
        )
    for container, key, _ in reversed(places):  # the last items of a list first
        if isinstance(key, str):
            delattr(container, key)
        else:
            del container[key]
    return _one_or_all(_states(list(taken.values()), filters, exhaustive=False))


def as_abstract(tree: Any, graph: bool | None = None) -> Any:
    """Replace every array by its ``jax.ShapeDtypeStruct`` (with its sharding).

    >>> from nnxtrain import nnx
    >>> nnx.as_abstract(nnx.Param(1.0)).value.shape
    ()
    """
    if isinstance(tree, Object):
        structure = _structure(tree, graph)
        return structure.graphdef.build(_abstract(structure.values()))[0]
    return _abstract(tree)


def _abstract(tree: Any) -> Any:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)),
        tree,
    )
