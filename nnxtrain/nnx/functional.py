"""split, merge, update, state, clone, pop: the functions between objects and pure values.

What they return shares no Variable with the original: neither side sees the other's later writes. The arrays
themselves are shared, not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.filters import split_by, to_predicate
from nnxtrain.nnx.graph import ArraySlot, Structure, holds_data, iter_graph, structure_of, walk
from nnxtrain.nnx.graphdef import GraphDef
from nnxtrain.nnx.module import Module, Object
from nnxtrain.nnx.state import State, from_flat_state, to_flat_state
from nnxtrain.nnx.variables import Variable

Path = tuple[Any, ...]


def _structure(node: Any) -> Structure:
    return structure_of(node) if isinstance(node, Object | Variable) else walk(node)


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


def split(node: Any, *filters: Any) -> tuple[Any, ...]:
    """Split a graph into its static GraphDef and one State for each filter (without filters: one).

    Raises:
      ValueError: a leaf is taken by no filter.

    >>> from nnxtrain import nnx
    >>> graphdef, params, rest = nnx.split(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), nnx.Param, ...)
    >>> sorted(params), sorted(rest)
    (['bias', 'scale'], ['mean', 'var'])
    """
    structure = _structure(node)
    return structure.graphdef, *_states(_snapshot(structure), filters, exhaustive=True)


def merge(graphdef: GraphDef, state: Any, /, *states: Any) -> Any:
    """Build the objects of ``graphdef`` with the values of the states. The inverse of :func:`split`.

    Raises:
      ValueError: a path is missing from the states, or unknown to the GraphDef.
    """
    flat: dict[Path, Any] = {}
    for part in (state, *states):
        flat.update(to_flat_state(part))
    missing = [p for p in graphdef.paths if p not in flat]
    unexpected = set(flat) - set(graphdef.paths)
    if missing or unexpected:
        raise ValueError("the states do not fit the GraphDef: " + _differences(missing, unexpected))
    return graphdef.build([flat[p] for p in graphdef.paths])[0]


def _differences(missing: Any, unexpected: Any) -> str:
    parts = []
    for what, paths in (("missing", missing), ("unexpected", unexpected)):
        names = sorted(".".join(map(str, p)) for p in paths)
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{what} {', '.join(names[:5])}{more}")
    return "; ".join(parts)


def state(node: Any, *filters: Any) -> Any:
    """The values of a graph: one State, or one for each filter. What no filter takes is left out."""
    states = _states(_snapshot(_structure(node)), filters, exhaustive=False)
    return states[0] if len(states) == 1 else states


def variables(node: Any, *filters: Any) -> Any:
    """Like :func:`state`, with the live Variables themselves in place of copies."""
    structure = _structure(node)
    flat = [
        (p, leaf)
        for p, leaf in zip(structure.graphdef.paths, structure.leaves)
        if isinstance(leaf, Variable)
    ]
    states = _states(flat, filters, exhaustive=False)
    return states[0] if len(states) == 1 else states


def graphdef(node: Any) -> GraphDef:
    """The static part of a graph."""
    return _structure(node).graphdef


def update(node: Any, state: Mapping, /, *states: Mapping) -> None:
    """Write the values of states into the graph's Variables, in place; other paths keep theirs.

    Raises:
      ValueError: a path that the graph does not have.
    """
    structure = _structure(node)
    leaves = dict(zip(structure.graphdef.paths, structure.leaves))
    for part in (state, *states):
        for path, value in to_flat_state(part):
            if path not in leaves:
                raise ValueError("the state does not fit the graph: " + _differences([], [path]))
            leaf = leaves[path]
            if isinstance(leaf, Variable):
                leaf.set_raw_value(value.raw_value if isinstance(value, Variable) else value)
            elif isinstance(leaf, ArraySlot):
                leaf._value = value.raw_value if isinstance(value, Variable) else value
            else:
                raise StructureError(
                    f"{'.'.join(map(str, path))} is an array inside an immutable container; "
                    "put it into a Variable so that it can be updated"
                )


def clone(node: Any, variables: bool = True) -> Any:
    """A copy of the graph. With ``variables=False`` the copy holds the very same Variables."""
    structure = walk(node)
    known = {}
    if not variables:
        known = {i: n for i, n in enumerate(structure.nodes) if isinstance(n, Variable)}
    return structure.graphdef.build(structure.values(), known)[0]


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
    places = [
        (container, key, id(value))
        for container in structure.nodes
        if isinstance(container, Object)
        for key, value in container._graph_items()
        if id(value) in taken
    ]
    fixed = taken.keys() - {number for _, _, number in places}
    if fixed:
        path = ".".join(map(str, taken[min(fixed)][0])) or "the Variable itself"
        raise StructureError(
            f"nnx.pop cannot take {path} out of what holds it, which is immutable; use a list in place of a tuple"
        )
    for container, key, _ in reversed(places):  # the last items of a list first
        if isinstance(key, str):
            delattr(container, key)
        else:
            del container[key]
    states = _states(list(taken.values()), filters, exhaustive=False)
    return states[0] if len(states) == 1 else states


def as_abstract(tree: Any) -> Any:
    """Replace every array by its ``jax.ShapeDtypeStruct`` (with its sharding)."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)),
        tree,
    )


def recursive_map(f: Callable[[Path, Any], Any], node: Any) -> Any:
    """Return a copy of the graph in which ``f(path, node)`` replaced every Object and Variable, children first."""
    copied = clone(node)
    replaced: dict[int, Any] = {}

    def swap(child: Any) -> Any:
        return replaced.get(id(child), child)

    for path, value in iter_graph(copied):
        if isinstance(value, Object):
            for key, child in list(value._graph_items()):
                if holds_data(child):
                    value._write(key, jax.tree.map(swap, child, is_leaf=_is_node))
        replaced[id(value)] = f(path, value)
    return jax.tree.map(swap, copied, is_leaf=_is_node)


def _is_node(value: Any) -> bool:
    return isinstance(value, Object | Variable)


def find_duplicates(node: Any, *, only: Any = ...) -> list[list[Path]]:
    """The groups of paths that lead to one and the same Variable or Object."""
    predicate = to_predicate(only)
    structure = walk(node)
    edges = structure.graphdef.attributes
    found: dict[int, list[Path]] = {}

    def visit(number: int, path: Path) -> None:
        found.setdefault(number, []).append(path)
        if len(found[number]) == 1:
            for key, ref in edges[number]:
                if type(ref) is int:
                    visit(ref, (*path, key))

    visit(0, ())
    return [
        paths
        for number, paths in found.items()
        if len(paths) > 1 and predicate(paths[0], structure.nodes[number])
    ]


def iter_modules(module: Any) -> Any:
    """Yield ``(path, module)`` for every Module of the graph, children first."""
    return ((path, node) for path, node in iter_graph(module) if isinstance(node, Module))


def iter_children(node: Module) -> Any:
    """Yield ``(name, module)`` for the Modules that are attributes of this one."""
    return node.iter_children()
