"""Which axis (or sharding) each Variable of an argument has: prefixes, and filters over the Variables of an object.

``in_axes`` and its kin are trees that may stop above the arguments' leaves. For an object the entry is one axis for all
of its Variables, or a :class:`StateAxes` (:class:`StateSharding`) that tells them apart by filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.graph.state import State, to_flat_state
from nnxtrain.nnx.graph.structure import Structure
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.lifted import dotted
from nnxtrain.nnx.variable.variable import Variable


class Carry:
    """In ``in_axes`` and ``out_axes`` of ``nnx.scan``: this value is carried from step to step."""


class _ByFilter(Mapping):
    """One entry for each filter; the first filter that matches a Variable decides."""

    def __init__(self, entries: Any, /):
        if isinstance(entries, State):
            entries = [(_AtPath(path), entry) for path, entry in to_flat_state(entries)]
        pairs = tuple(entries.items() if isinstance(entries, Mapping) else entries)
        self.filters = tuple(filter for filter, _ in pairs)
        self.entries = tuple(
            entry.raw_value if isinstance(entry, Variable) else entry for _, entry in pairs
        )

    def map_prefix(self, path: tuple, variable: Any) -> Any:
        """The entry for a Variable at ``path`` (seen from the object).

        Raises:
          ValueError: no filter matches; end with ``...``.
        """
        for filter, entry in zip(self.filters, self.entries):
            if to_predicate(filter)(path, variable):
                return entry
        raise ValueError(
            f"{self!r} has no entry for {dotted(path)} ({type(variable).__name__}); add one for `...` at the end"
        )

    def __getitem__(self, filter: Any) -> Any:
        return self.entries[self.filters.index(filter)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.filters)

    def __len__(self) -> int:
        return len(self.filters)

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, _ByFilter)
            and (self.filters, self.entries) == (other.filters, other.entries)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.filters, self.entries))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(zip(self.filters, self.entries))})"


class _AtPath:
    """The filter of one path."""

    def __init__(self, path: tuple):
        self.path = path

    def __call__(self, path: tuple, value: Any) -> bool:
        return tuple(path) == self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AtPath) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return dotted(self.path)


class StateAxes(_ByFilter):
    """Axes for the Variables of an object, by filters: ``StateAxes({nnx.Param: 0, ...: None})``.

    An entry is an axis number, None (the same for all) or, in ``nnx.scan``, ``nnx.Carry``.
    """

    @property
    def axes(self) -> tuple[Any, ...]:
        return self.entries


class StateSharding(_ByFilter):
    """Shardings for the Variables of an object, by filters: ``StateSharding({nnx.Param: P("data"), ...: P()})``."""

    @property
    def shardings(self) -> tuple[Any, ...]:
        return self.entries


def is_entry(value: Any) -> bool:
    """True for what stands for a whole subtree in a prefix."""
    return value is None or isinstance(value, _ByFilter | jax.sharding.PartitionSpec)


def is_slot(value: Any) -> bool:
    return isinstance(value, lift.Slot)


def for_each_argument(prefix: Any, number: int, bound: int, instead: Any = None) -> tuple:
    """A prefix with an entry for each argument: one entry is for all; what the function is bound to gets ``instead``."""
    is_one = not isinstance(prefix, tuple) or isinstance(prefix, jax.sharding.PartitionSpec)
    return (instead,) * bound + ((prefix,) * (number - bound) if is_one else prefix)


def spread(name: str, prefix: Any, tree: Any) -> list[tuple[Any, tuple, Any]]:
    """``(entry, path, leaf)`` for each leaf of ``tree``, Slots and None being leaves.

    Raises:
      ValueError: the prefix does not fit the tree.
    """
    entries, treedef = jax.tree_util.tree_flatten(prefix, is_leaf=is_entry)
    try:
        subtrees = treedef.flatten_up_to(tree)  # type: ignore[attr-defined]
    except (ValueError, TypeError):
        raise ValueError(
            f"{name} does not fit: it is {prefix!r} for "
            f"{jax.tree.map(_type_name, tree, is_leaf=lambda x: is_slot(x) or x is None)}"
        ) from None
    return [
        (entry, path, leaf)
        for entry, subtree in zip(entries, subtrees)
        for path, leaf in jax.tree_util.tree_flatten_with_path(
            subtree, is_leaf=lambda x: is_slot(x) or x is None
        )[0]
    ]


def _type_name(value: Any) -> str:
    return "an object" if is_slot(value) else type(value).__name__


def plain(prefix: Any, instead: Any) -> Any:
    """The prefix for JAX, which sees no leaf where an object stands: ``instead`` in the place of filters."""
    return jax.tree.map(
        lambda e: instead if isinstance(e, _ByFilter) else e, prefix, is_leaf=is_entry
    )


def below(graphdef: GraphDef, start: int) -> dict[int, tuple]:
    """Leaf number -> path, for the leaves that are reached from a node."""
    leaf_of = {node: leaf for leaf, node in enumerate(graphdef.leaf_nodes)}
    paths: dict[int, tuple] = {}
    pending: list[tuple[int, tuple]] = [(start, ())]
    while pending:
        number, path = pending.pop()
        if number not in paths:
            paths[number] = path
            pending.extend(
                (ref, (*path, key))
                for key, ref in reversed(graphdef.attributes[number])
                if type(ref) is int
            )
    return {leaf_of[n]: p for n, p in paths.items() if n in leaf_of}


def root_node(graphdef: GraphDef, root: int, num_roots: int) -> int:
    """The node number of a root."""
    if num_roots == 1:
        return 0
    ref: int = graphdef.attributes[0][root][1]
    return ref


class LeafAxes:
    """The axis of each leaf of a call's objects, and of the leaves that the function adds.

    Args:
      name: of the transform and its parameter, for errors ("nnx.vmap in_axes").
      structure: of the roots.
      entries: for each root the entry of the prefix, or several, where it stands in several places.

    Raises:
      ValueError: a Variable gets two axes, because two arguments share it.
    """

    def __init__(self, name: str, structure: Structure, entries: list[list[Any]]):
        self.graphdef = structure.graphdef
        self.roots = [found[0] for found in entries]
        self.of: list[Any] = [None] * self.graphdef.num_leaves
        self.names: list[str] = [dotted(path) for path in self.graphdef.paths]
        seen: dict[int, tuple[int, Any]] = {}
        for root, found in enumerate(entries):
            node = root_node(self.graphdef, root, len(entries))
            for leaf, path in below(self.graphdef, node).items():
                for entry in found:
                    axis = axis_of(entry, path, structure.leaves[leaf])
                    if leaf in seen and seen[leaf][1] != axis:
                        raise ValueError(
                            f"{name}: {dotted(path)} is shared, and gets {_show(seen[leaf][1])} in one place and "
                            f"{_show(axis)} in another; give both the same"
                        )
                    seen[leaf] = (root, axis)
                    self.of[leaf] = axis

    def of_sent(self, note: lift.Note, outputs: list[Any]) -> list[Any]:
        """The axis of each value that a call sends out.

        Args:
          outputs: for each object in the result its entry in the prefix of the result.
        """
        patch = note.patch
        if patch is None:
            return [self.of[leaf] for leaf in note.changed]
        tops = [*self.roots, *outputs]
        axes = []
        for leaf, origin in zip(patch.sent, patch.sent_from):
            if origin is not None:
                axes.append(self.of[origin])
            else:
                top, *path = patch.graphdef.paths[leaf]
                entry = tops[top] if top < len(tops) else 0
                node = patch.graphdef.nodes[patch.graphdef.leaf_nodes[leaf]]
                axes.append(axis_of(entry, tuple(path), node))
        return axes


class Grouped:
    """Values in lists by axis: which come out of a function is known only inside, their possible axes before.

    Args:
      *entries: axes, shardings, and filters of them (what is in several counts once).
    """

    def __init__(self, *entries: Any):
        self.axes: list[Any] = []
        for entry in entries:
            for axis in entry.entries if isinstance(entry, _ByFilter) else (entry,):
                if axis not in self.axes:
                    self.axes.append(axis)

    def group(self, values: list[Any], axes: list[Any]) -> list[list[Any]]:
        """The values in one list for each axis, given the axis of each."""
        return [[v for v, a in zip(values, axes) if a == axis] for axis in self.axes]

    def ungroup(self, grouped: Any, axes: list[Any]) -> list[Any]:
        """The values in their order again."""
        queues = [iter(group) for group in grouped]
        return [next(queues[self.axes.index(axis)]) for axis in axes]


def axis_of(entry: Any, path: tuple, leaf: Any) -> Any:
    """The axis of one leaf (a Variable, or the definition of one)."""
    if not isinstance(entry, _ByFilter):
        return entry
    definition = getattr(leaf, "metadata", None)
    if not isinstance(leaf, Variable) and definition is not None:
        leaf = leaf.type.from_metadata(None, definition.value)
    return entry.map_prefix(path, leaf)


def entries_of_roots(
    where: list[tuple[Any, tuple, Any]], num_roots: int, default: Any
) -> list[list[Any]]:
    """For each root the entries of the places where it stands."""
    found: list[list[Any]] = [[] for _ in range(num_roots)]
    for entry, _, leaf in where:
        if is_slot(leaf):
            found[leaf.number].append(entry)
        elif isinstance(entry, _ByFilter):
            raise ValueError(f"{entry!r} is for objects, but it stands for a {type(leaf).__name__}")
    return [entries or [default] for entries in found]


def entries_of_outputs(name: str, prefix: Any, out: Any) -> list[Any]:
    """The entry of each object in a result, by the number of its Slot."""
    found: dict[int, Any] = {}
    for entry, _, leaf in spread(name, prefix, out):
        if is_slot(leaf):
            found.setdefault(leaf.number, entry)
    return [found[number] for number in range(len(found))]


def _show(axis: Any) -> str:
    return "nnx.Carry" if axis is Carry else f"axis {axis}" if isinstance(axis, int) else repr(axis)
