"""The object graph: walk it, and remember the structure that was found.

Every transform and every function of the split/merge family rests on :class:`Structure`: a GraphDef with the live
containers and leaves it was read from, valid as long as no container's version changed. Getting the values out is then
one ``map`` over the leaves. ``GraphDef.build`` is the way back: new objects from a GraphDef and values.
"""

from __future__ import annotations

import operator
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import MethodType
from typing import Any

import jax

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.graphdef import (
    ArrayDef,
    GraphDef,
    ObjectDef,
    Path,
    PytreeDef,
    VariableDef,
    intern,
)
from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.module.module import Object, is_array
from nnxtrain.nnx.variable.variable import Epoch, Variable, get_raw, put_raw


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
      nodes: node number -> container or Variable (empty in a cached structure, where they would keep the roots alive).
      plain: all leaves are Variables.
      parts: lists of some leaves that are needed again, by what they are needed for.
    """

    __slots__ = (
        "__weakref__",
        "_checked",
        "_epoch",
        "_versions",
        "containers",
        "graphdef",
        "leaves",
        "nodes",
        "parts",
        "plain",
        "roots",
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
        self._checked: object = (
            None  # the Epoch.structure under which the versions were last compared
        )
        self.plain = all(isinstance(leaf, Variable) for leaf in leaves)
        self.parts: dict[Any, Any] = {}

    def forget_roots(self) -> Structure:
        """Drop the references to the roots: who caches a structure must not keep its roots alive."""
        self.nodes = []
        self.roots = ()
        return self

    def is_current(self, roots: tuple[Any, ...]) -> bool:
        """True while no container below (or in) ``roots`` changed its structure since the walk."""
        if self._epoch != Epoch.count:
            return False
        latest = Epoch.structure
        if self._checked is latest:  # no container of this process has changed since
            return True
        versions = list(map(_version, self.containers))
        versions += [r._version for r in roots if isinstance(r, Object)]
        if versions != self._versions:
            return False
        self._checked = latest
        return True

    def values(self) -> list[Any]:
        """The present value of each leaf."""
        return list(map(get_raw, self.leaves))

    def put(self, changed: tuple[int, ...], values: Sequence[Any]) -> None:
        """Write values to the leaves with the numbers ``changed``."""
        leaves = self.parts.get(changed)
        if leaves is None:
            leaves = self.parts[changed] = [self.leaves[i] for i in changed]
        if self.plain:
            put_values(leaves, values)
        else:
            for leaf, value in zip(leaves, values):
                leaf._value = value


def put_values(variables: list[Any], values: Sequence[Any]) -> None:
    """Write each Variable's value, unchecked."""
    deque(map(put_raw, variables, values), maxlen=0)  # runs the map without a loop in Python


_version = operator.attrgetter("_version")


def walk(root: Any) -> Structure:
    """Walk a graph and return its structure. ``root`` is an Object, a Variable or a pytree of them."""
    walker = _Walker()
    walker.visit(root, (), None, None)
    for number in walker.linked:
        target = walker.numbers.get(id(walker.nodes[number]._link))
        walker.definitions[number] = ObjectDef(walker.definitions[number].type, target)
    graphdef = GraphDef(tuple(walker.definitions), tuple(walker.attributes), len(walker.leaves))
    return Structure(
        intern(graphdef), walker.nodes, walker.leaves, root if isinstance(root, tuple) else (root,)
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
        elif is_array(value):  # has no identity: two attributes that hold one array are two leaves
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


def require_tree(structure: Structure, graph: bool | None) -> Structure:
    """Return the structure; with ``graph=False`` raise a StructureError where something is reached more than once."""
    if graph is False and structure.graphdef.shared_paths is not None:
        first, second = (
            ".".join(map(str, p)) or "the root" for p in structure.graphdef.shared_paths
        )
        raise StructureError(
            f"{first} and {second} are one and the same, and graph=False allows no shared references and no cycles; "
            "leave graph=False out, or give each place an object of its own"
        )
    return structure


def iter_graph(node: Any, /, *, graph: bool | None = None) -> Iterator[tuple[Path, Any]]:
    """Yield ``(path, value)`` for all that the graph holds, static values too; each object once, children before parents.

    Args:
      node: an object, a Variable, or a pytree of them.
      graph: False makes shared references an error.

    >>> from nnxtrain import nnx
    >>> [(path, type(value).__name__) for path, value in nnx.iter_graph([nnx.Param(1.0), "text"])]
    [((0,), 'Param'), ((1,), 'str'), ((), 'list')]
    """
    return _iter_below(require_tree(walk(node), graph), 0, (), set())


def _iter_below(
    structure: Structure, number: int, path: Path, seen: set[int]
) -> Iterator[tuple[Path, Any]]:
    seen.add(number)
    for key, ref in structure.graphdef.attributes[number]:
        if type(ref) is not int:
            yield (*path, key), ref.value
        elif ref not in seen:
            yield from _iter_below(structure, ref, (*path, key), seen)
    yield path, structure.nodes[number]
