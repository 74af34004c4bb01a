"""GraphDef: the static part of an object graph, and how objects are built from it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax

from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.module.module import new_object
from nnxtrain.nnx.variable.variable import Variable

Path = tuple[Any, ...]


class ObjectDef(NamedTuple):
    """An Object: its class, and the node it has a link to (an optimizer's model), if that is in the graph."""

    type: type
    link: int | None


class PytreeDef(NamedTuple):
    """An immutable pytree that holds data: a tuple, a registered dataclass, a bound method, a partial."""

    build: Static  # (children) -> pytree


class VariableDef(NamedTuple):
    type: type[Variable]
    metadata: Static
    frozen: bool


class ArrayDef(NamedTuple):
    """An array that is an attribute by itself."""

    leaf: bool = True


class GraphDef:
    """The static part of an object graph. Equal GraphDefs compile to the same program.

    Args:
      nodes: one definition for each node, in the order of the first visit; node 0 is the root.
      attributes: for each node its ``(key, node number or Static)`` pairs.
      num_leaves: how many of the nodes are Variables or arrays.
    """

    __slots__ = ("__dict__", "__weakref__", "_hash", "attributes", "nodes", "num_leaves")

    def __init__(self, nodes: tuple, attributes: tuple, num_leaves: int):
        self.nodes = nodes
        self.attributes = attributes
        self.num_leaves = num_leaves
        self._hash = hash((nodes, attributes))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, GraphDef)
            and self._hash == other._hash
            and self.nodes == other.nodes
            and self.attributes == other.attributes
        )

    def __repr__(self) -> str:
        kinds = [getattr(n, "type", None) for n in self.nodes]
        root = getattr(kinds[0], "__name__", type(self.nodes[0]).__name__) if kinds else "empty"
        return f"GraphDef({root}, nodes={len(self.nodes)}, num_leaves={self.num_leaves})"

    @cached_property
    def leaf_nodes(self) -> tuple[int, ...]:
        """The node number of each leaf."""
        return tuple(i for i, n in enumerate(self.nodes) if isinstance(n, VariableDef | ArrayDef))

    @cached_property
    def node_paths(self) -> tuple[Path, ...]:
        """The path under which each node is first reached."""
        paths: dict[int, Path] = {}

        def visit(number: int, path: Path) -> None:
            paths[number] = path
            for key, ref in self.attributes[number]:
                if type(ref) is int and ref not in paths:
                    visit(ref, (*path, key))

        visit(0, ())
        return tuple(paths[number] for number in range(len(self.nodes)))

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The path of each leaf."""
        return tuple(self.node_paths[i] for i in self.leaf_nodes)

    @cached_property
    def shared_paths(self) -> tuple[Path, Path] | None:
        """Two paths to one node that is reached more than once, or None for a tree."""
        seen = {0}
        for number, attributes in enumerate(self.attributes):
            for key, ref in attributes:
                if type(ref) is int:
                    if ref in seen:
                        return self.node_paths[ref], (*self.node_paths[number], key)
                    seen.add(ref)
        return None

    @cached_property
    def shared_path(self) -> Path | None:
        """The path of a node that is reached more than once, or None for a tree."""
        return self.shared_paths and self.shared_paths[0]

    @cached_property
    def leaf_numbers(self) -> dict[Path, int]:
        """The leaf number of each path in ``paths``."""
        return {path: leaf for leaf, path in enumerate(self.paths)}

    def leaf_at(self, path: Path) -> int | None:
        """The number of the leaf that a path leads to, be it ``paths``' own or another way to a shared leaf."""
        leaf = self.leaf_numbers.get(path)
        if leaf is not None:
            return leaf
        number = 0
        for key in path:
            ref = next((r for k, r in self.attributes[number] if k == key), None)
            if type(ref) is not int:
                return None
            number = ref
        return self.leaf_numbers.get(self.node_paths[number])

    def build(
        self,
        leaves: Sequence[Any],
        known: dict[int, Any] | None = None,
        *,
        keep_frozen: bool = False,
    ) -> list[Any]:
        """Make the objects of the graph.

        Args:
          leaves: for each leaf its value; a Variable stands for a new Variable with its kind, value and metadata.
          known: nodes that exist already, by number; they are used as they are.
          keep_frozen: new Variables are frozen where the old ones were (see ``nnx.frozen``).

        Returns:
          all nodes by number; the root is number 0.
        """
        builder = _Builder(self, leaves, known or {}, keep_frozen)
        for number in range(len(self.nodes)):
            builder.make(number)
        made = builder.made
        for number, node in enumerate(self.nodes):
            if (
                isinstance(node, ObjectDef)
                and node.link is not None
                and number not in (known or ())
            ):
                object.__setattr__(made[number], "_link", made[node.link])
        return made


class _Builder:
    """The nodes made so far, by number. (A class: functions that call themselves would keep the nodes alive in a cycle.)"""

    def __init__(
        self, graphdef: GraphDef, leaves: Sequence[Any], known: dict[int, Any], keep_frozen: bool
    ):
        self.graphdef = graphdef
        self.keep_frozen = keep_frozen
        self.made: list[Any] = [known.get(number) for number in range(len(graphdef.nodes))]
        self.value_of = dict(zip(graphdef.leaf_nodes, leaves))

    def make(self, number: int) -> Any:
        if self.made[number] is not None:
            return self.made[number]
        node = self.graphdef.nodes[number]
        if isinstance(node, VariableDef):
            self.made[number] = variable = _make_variable(node, self.value_of[number])
            object.__setattr__(variable, "_path", self.graphdef.node_paths[number])
            object.__setattr__(variable, "_frozen", int(self.keep_frozen and node.frozen))
        elif isinstance(node, ArrayDef):
            self.made[number] = self.value_of[number]
        elif isinstance(node, ObjectDef):
            self.made[number] = obj = new_object(
                node.type
            )  # before its attributes: they may refer back to it
            obj._graph_assign(self.attributes_of(number))
        else:
            self.made[number] = node.build.value([value for _, value in self.attributes_of(number)])
        return self.made[number]

    def attributes_of(self, number: int) -> list[tuple[Any, Any]]:
        attributes = self.graphdef.attributes[number]
        return [(key, self.make(ref) if type(ref) is int else ref.value) for key, ref in attributes]


jax.tree_util.register_static(GraphDef)

_interned: weakref.WeakValueDictionary[GraphDef, GraphDef] = weakref.WeakValueDictionary()


def intern(graphdef: GraphDef) -> GraphDef:
    """Equal GraphDefs become one object while anyone holds it, so that a dict finds them by identity."""
    return _interned.setdefault(graphdef, graphdef)


def _make_variable(node: VariableDef, value: Any) -> Variable:
    if isinstance(value, Variable):
        return value.replace()
    return node.type.from_metadata(value, node.metadata.value)
