"""The object graph: flatten it into a static GraphDef and a list of values, build it again, and remember its structure.

Every transform and every function of the split/merge family rests on three pieces:

* :class:`GraphDef`: what is static: node types, attribute names, static values, references. Hashable, interned.
* :class:`Structure`: a GraphDef with the live containers and leaves it was read from, valid as long as no container's
  version changed. Getting the values out is then one ``map`` over the leaves.
* :meth:`GraphDef.build`: new objects from a GraphDef and values.
"""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from types import MethodType
from typing import Any, NamedTuple

import jax

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.module import Object, is_array, new_object
from nnxtrain.nnx.static import Static
from nnxtrain.nnx.variables import Epoch, Variable, get_raw, put_raw

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
    def shared_path(self) -> Path | None:
        """The path of a node that is reached more than once, or None for a tree."""
        seen = {0}
        for attributes in self.attributes:
            for _, ref in attributes:
                if type(ref) is int:
                    if ref in seen:
                        return self.node_paths[ref]
                    seen.add(ref)
        return None

    @cached_property
    def children_first(self) -> tuple[int, ...]:
        """The node numbers, each after those it holds (as far as cycles allow)."""
        order: dict[int, None] = {}
        entered: set[int] = set()

        def visit(number: int) -> None:
            entered.add(number)
            for _, ref in self.attributes[number]:
                if type(ref) is int and ref not in entered:
                    visit(ref)
            order[number] = None

        visit(0)
        return tuple(order)

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

# Equal GraphDefs are one object while anyone holds it, so that a dict finds them by identity.
_interned: weakref.WeakValueDictionary[GraphDef, GraphDef] = weakref.WeakValueDictionary()


def _make_variable(node: VariableDef, value: Any) -> Variable:
    if isinstance(value, Variable):
        return value.replace()
    return node.type.from_metadata(value, node.metadata.value)


class ArraySlot:
    """Access to an array attribute in the way of a Variable's value."""

    __slots__ = ("container", "key")

    def __init__(self, container: Object, key: Any):
        self.container = weakref.ref(container)
        self.key = key

    @property
    def _value(self) -> Any:
        return self.container()._graph_get(self.key)  # type: ignore[union-attr]

    @_value.setter
    def _value(self, value: Any) -> None:
        container = self.container()
        container._check_write(self.key)  # type: ignore[union-attr]
        container._graph_put(self.key, value)  # type: ignore[union-attr]


class FixedArray:
    """An array inside an immutable pytree: it can be read here, and changes only with the whole attribute."""

    __slots__ = ("_value",)

    def __init__(self, value: Any):
        self._value = value


Leaf = Variable | ArraySlot | FixedArray


class Structure:
    """What was found by walking one graph, or the graphs of several roots together.

    Attributes:
      graphdef: its static part.
      leaves: the live leaves in the order of the GraphDef; each has ``_value``.
      nodes: node number -> container or Variable (only while ``keep_nodes``; it would keep the roots alive).
    """

    __slots__ = (
        "_epoch",
        "_plain",
        "_versions",
        "containers",
        "graphdef",
        "leaves",
        "nodes",
        "roots",
        "targets",
    )

    def __init__(
        self, graphdef: GraphDef, nodes: list[Any], leaves: list[Leaf], roots: tuple[Any, ...]
    ):
        self.graphdef = graphdef
        self.leaves = leaves
        self.nodes: list[Any] = nodes
        held = {id(r) for r in roots}
        self.containers = [n for n in nodes if isinstance(n, Object) and id(n) not in held]
        self.roots = tuple(r for r in roots if isinstance(r, Object))
        self._versions = list(map(_version, self.containers)) + [r._version for r in self.roots]
        self._epoch = Epoch.count
        self._plain = all(isinstance(leaf, Variable) for leaf in leaves)
        self.targets: dict[Any, list[Leaf]] = {}

    def forget_roots(self) -> Structure:
        """Drop the references to the roots: who caches a structure must not keep its roots alive."""
        self.nodes = []
        self.roots = ()
        return self

    def is_current(self, roots: tuple[Any, ...]) -> bool:
        """True while no container below (or in) ``roots`` changed its structure since the walk."""
        versions = list(map(_version, self.containers))
        versions += [r._version for r in roots if isinstance(r, Object)]
        return versions == self._versions and self._epoch == Epoch.count

    def values(self) -> list[Any]:
        """The present value of each leaf."""
        return list(map(get_raw, self.leaves))

    def put(self, changed: tuple[int, ...], values: Sequence[Any]) -> None:
        """Write values to the leaves with the numbers ``changed``."""
        targets = self.targets.get(changed)
        if targets is None:
            targets = self.targets[changed] = [self.leaves[i] for i in changed]
        if self._plain:
            for _ in map(put_raw, targets, values):
                pass
        else:
            for leaf, value in zip(targets, values):
                leaf._value = value


_version = operator.attrgetter("_version")


def walk(root: Any) -> Structure:
    """Walk a graph and return its structure. ``root`` is an Object, a Variable or a pytree of them."""
    walker = _Walker()
    walker.visit(root, (), None, None)
    for number in walker.linked:
        target = walker.numbers.get(id(walker.nodes[number]._link))
        walker.definitions[number] = ObjectDef(walker.definitions[number].type, target)
    graphdef = GraphDef(tuple(walker.definitions), tuple(walker.attributes), len(walker.leaves))
    graphdef = _interned.setdefault(graphdef, graphdef)
    return Structure(
        graphdef, walker.nodes, walker.leaves, root if isinstance(root, tuple) else (root,)
    )


class _Walker:
    """What a walk has seen so far; nodes are numbered in the order of the first visit."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.definitions: list[Any] = []
        self.attributes: list[tuple] = []
        self.leaves: list[Leaf] = []
        self.numbers: dict[int, int] = {}
        self.linked: list[int] = []

    def add(self, value: Any, definition: Any) -> int:
        self.nodes.append(value)
        self.definitions.append(definition)
        self.attributes.append(())
        return len(self.nodes) - 1

    def visit(self, value: Any, path: Path, owner: Object | None, key: Any) -> int | Static:
        """Number a value and what is below it; ``owner`` is the container that holds it under ``key``."""
        number = self.numbers.get(id(value))
        if number is not None:
            return number
        if isinstance(value, Variable):
            if value._path is None:
                object.__setattr__(value, "_path", path)
            self.leaves.append(value)
            number = self.add(
                value, VariableDef(type(value), Static(value._metadata), bool(value._frozen))
            )
            self.numbers[id(value)] = number
        elif isinstance(value, Object):
            number = self.numbers[id(value)] = self.add(value, ObjectDef(type(value), None))
            if value._link is not None:
                self.linked.append(number)
            self.attributes[number] = tuple(
                [(k, self.visit(v, (*path, k), value, k)) for k, v in value._graph_items()]
            )
        elif is_array(
            value
        ):  # without an identity: two attributes that hold one array are two leaves
            self.leaves.append(ArraySlot(owner, key) if owner is not None else FixedArray(value))
            number = self.add(value, ArrayDef())
        elif holds_data(value):
            items, build = _open(value)
            number = self.add(value, PytreeDef(build))
            self.attributes[number] = tuple(
                [(k, self.visit(v, (*path, k), None, k)) for k, v in items]
            )
        else:
            return Static(value)
        return number


_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None), type})


def holds_data(value: Any) -> bool:
    """True where an attribute's value is, or contains, an Object, a Variable or an array."""
    if type(value) in _SCALARS:
        return False
    if isinstance(value, Object | Variable) or is_array(value):
        return True
    opened = _open(value)
    return opened is not None and any(holds_data(child) for _, child in opened[0])


def _open(value: Any) -> Any:
    """Take one level of an immutable pytree apart: ``([(key, child)], Static(build))``, or None for a leaf."""
    if isinstance(value, MethodType):
        return [("__self__", value.__self__)], Static(partial(_build_method, value.__func__))
    if isinstance(value, partial):
        parts = [("args", value.args), ("keywords", tuple(value.keywords.items()))]
        return parts, Static(partial(_build_partial, value.func))
    if isinstance(value, GraphDef):
        return None
    children, treedef = jax.tree_util.tree_flatten_with_path(
        value, is_leaf=lambda v: v is not value
    )
    if jax.tree_util.treedef_is_leaf(treedef):
        return None
    return [(_path_key(path), child) for path, child in children], Static(
        partial(jax.tree_util.tree_unflatten, treedef)
    )


def _build_method(function: Callable, children: list[Any]) -> Any:
    return MethodType(function, children[0])


def _build_partial(function: Callable, children: list[Any]) -> Any:
    args, keywords = children
    return partial(function, *args, **dict(keywords))


def _path_key(path: tuple) -> Any:
    (entry,) = path
    for name in ("key", "idx", "name"):
        if hasattr(entry, name):
            return getattr(entry, name)
    return str(entry)


class Check:
    """Check mode: every cached structure is compared with a new walk (``NNXTRAIN_CHECK_STRUCTURE=1``)."""

    enabled = os.environ.get("NNXTRAIN_CHECK_STRUCTURE", "") not in ("", "0")


def structure_of(root: Any) -> Structure:
    """The structure of one Object or Variable, from the cache where it still holds."""
    if not isinstance(root, Object):
        return walk(root)
    held = root._structure
    if held is not None and held.is_current((root,)):
        if Check.enabled:
            verify(held, root)
        return held
    held = walk(root).forget_roots()
    object.__setattr__(root, "_structure", held)
    return held


def verify(held: Structure, root: Any) -> None:
    """Raise where a cached structure differs from the graph: something changed behind the versions' back."""
    fresh = walk(root)
    same_leaves = len(fresh.leaves) == len(held.leaves) and all(
        a is b for a, b in zip(fresh.leaves, held.leaves) if isinstance(a, Variable)
    )
    if fresh.graphdef == held.graphdef and same_leaves:
        return
    old, new = held.graphdef, fresh.graphdef
    where = next(
        (".".join(map(str, (*path, name))) for path, a, b in zip(new.node_paths, old.attributes, new.attributes)
         for name, ref in b if (name, ref) not in a), "the graph"
    )  # fmt: skip
    raise StructureError(
        f"{where} changed without an attribute write, so compiled functions did not see it. "
        "Assign the changed object to the attribute again instead of changing it in place."
    )


def iter_graph(node: Any) -> Iterator[tuple[Path, Any]]:
    """Yield ``(path, value)`` for every Object and Variable of the graph, each once, children before parents."""
    structure = walk(node)
    paths = structure.graphdef.node_paths
    for number in structure.graphdef.children_first:
        value = structure.nodes[number]
        if isinstance(value, Object | Variable):
            yield paths[number], value
