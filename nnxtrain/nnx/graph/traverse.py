"""Going through an object graph: its modules, its children, what is shared; and mapping over all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.graphdef import ObjectDef, Path, PytreeDef
from nnxtrain.nnx.graph.structure import Structure, iter_graph, require_tree, walk
from nnxtrain.nnx.module.module import Module, Object
from nnxtrain.nnx.variable.variable import Variable


def iter_modules(module: Any, /, *, graph: bool | None = None) -> Iterator[tuple[Path, Module]]:
    """Yield ``(path, module)`` for every Module of the graph, each once, children before parents.

    >>> from nnxtrain import nnx
    >>> [path for path, _ in nnx.iter_modules(nnx.Sequential(nnx.Dropout(0.1), nnx.relu))]
    [('layers', 0), ('layers',), ()]
    """
    below = iter_graph(module, graph=graph)
    return ((path, node) for path, node in below if isinstance(node, Module))


def iter_children(node: Any, /, *, graph: bool | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield ``(name, child)`` for the objects and Variables that are attributes (or items) of an object.

    Raises:
      TypeError: ``node`` is no object.

    >>> from nnxtrain import nnx
    >>> [name for name, _ in nnx.iter_children(nnx.Linear(1, 1, rngs=nnx.Rngs(0)))]
    ['kernel', 'bias']
    """
    if not isinstance(node, Object):
        raise TypeError(f"a {type(node).__name__} has no children; pass a module")
    require_tree(walk(node), graph)
    return ((k, v) for k, v in node._graph_items() if isinstance(v, Object | Variable))


def find_duplicates(node: Any, /, *, only: Any = ...) -> list[list[Path]]:
    """The groups of paths that lead to one and the same Variable or Object.

    Args:
      node: an object, or a pytree of objects.
      only: a filter: which Variables and Objects to look at.

    >>> from nnxtrain import nnx
    >>> model = nnx.Module()
    >>> model.a = model.b = nnx.Param(1.0)
    >>> nnx.find_duplicates(model)
    [[('a',), ('b',)]]
    """
    predicate = to_predicate(only)
    structure = walk(node)
    found: dict[int, list[Path]] = {}
    _collect_paths(structure, 0, (), found)
    return [
        paths
        for number, paths in found.items()
        if len(paths) > 1 and predicate(paths[0], structure.nodes[number])
    ]


def _collect_paths(
    structure: Structure, number: int, path: Path, found: dict[int, list[Path]]
) -> None:
    found.setdefault(number, []).append(path)
    if len(found[number]) == 1:
        for key, ref in structure.graphdef.attributes[number]:
            if type(ref) is int:
                _collect_paths(structure, ref, (*path, key), found)


def recursive_map(f: Callable[[Path, Any], Any], node: Any, /, *, graph: bool | None = None) -> Any:
    """Return a copy of the graph in which ``f(path, value)`` replaced everything, children before parents.

    ``f`` is given the copied objects, the Variables themselves (which the copy shares with the original unless ``f``
    replaces them), arrays and static values; each object and Variable once.

    Raises:
      StructureError: ``f`` replaced an object that is part of a cycle.

    >>> from nnxtrain import nnx
    >>> def double(path, value):
    ...     return value.replace(value.value * 2) if isinstance(value, nnx.Param) else value
    >>> doubled = nnx.recursive_map(double, nnx.List([nnx.Param(1.0), nnx.BatchStat(1.0)]))
    >>> [float(variable.value) for variable in doubled]
    [2.0, 1.0]
    """
    structure = require_tree(walk(node), graph)
    known = {i: n for i, n in enumerate(structure.nodes) if isinstance(n, Variable)}
    nodes = structure.graphdef.build(structure.values(), known)
    return _Mapper(f, structure, nodes).map(0, ())


class _Mapper:
    """One run of ``recursive_map`` over the nodes of a copy."""

    def __init__(self, f: Callable[[Path, Any], Any], structure: Structure, nodes: list[Any]):
        self.f = f
        self.graphdef = structure.graphdef
        self.nodes = nodes
        self.entered: set[int] = set()
        self.cyclic: set[int] = set()
        self.results: dict[int, Any] = {}

    def map(self, number: int, path: Path) -> Any:
        self.entered.add(number)
        node, definition = self.nodes[number], self.graphdef.nodes[number]
        attributes = self.graphdef.attributes[number]
        items = [(key, self.child(ref, (*path, key))) for key, ref in attributes]
        if isinstance(definition, ObjectDef):
            for key, value in items:
                if node._graph_get(key) is not value:
                    node._write(key, value)
        elif isinstance(definition, PytreeDef):
            node = definition.build.value([value for _, value in items])
        result = self.results[number] = self.f(path, node)
        if number in self.cyclic and result is not node:
            raise StructureError(
                f"{'.'.join(map(str, path)) or 'the root'} was replaced, but is part of a cycle; change it in place"
            )
        return result

    def child(self, ref: Any, path: Path) -> Any:
        if type(ref) is not int:
            return self.f(path, ref.value)
        if ref in self.results:
            return self.results[ref]
        if ref in self.entered:
            self.cyclic.add(ref)
            return self.nodes[ref]
        return self.map(ref, path)
