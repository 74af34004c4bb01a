"""From objects to an outline: what a module, a State, a GraphDef or any pytree holds, as entries to be printed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from nnxtrain.nnx.graph.graphdef import ArrayDef, GraphDef, ObjectDef, PytreeDef, VariableDef
from nnxtrain.nnx.graph.structure import _open, holds_data
from nnxtrain.nnx.inspection.sizes import Sizes, add_sizes, kind_of, size_of
from nnxtrain.nnx.inspection.static_text import static_text
from nnxtrain.nnx.inspection.summaries import is_abstract, placement_text, summaries, type_text
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.variable.variable import Variable

Path = tuple[Any, ...]


@dataclasses.dataclass
class Entry:
    """One thing to print.

    Attributes:
      name: the attribute, key or index under which its parent holds it ("" for the whole).
      kind: the name of its type ("" for a plain array or a static value).
      words: what it is, if it is no container: dtype and shape, statistics, metadata.
      children: what it contains.
      sizes: the Variables in it by kind. What is shared counts where it is shown, so that sizes add up.
      static: it is a static value.
      noise: it is a static value that says little (None, a function).
    """

    name: str
    kind: str = ""
    words: list[str] = dataclasses.field(default_factory=list)
    children: list[Entry] = dataclasses.field(default_factory=list)
    sizes: Sizes = dataclasses.field(default_factory=dict)
    static: bool = False
    noise: bool = False


def outline(value: Any, *, values: bool) -> Entry:
    """The outline of anything. ``values``: with statistics of the arrays, which must then be fetched or reduced."""
    outliner = _Outliner()
    entry = outliner.visit(value, "", ())
    if values:
        texts = summaries([array for _, _, array in outliner.arrays])
        for (words, place, _), text in zip(outliner.arrays, texts):
            words[place:place] = _BREAKS.split(text) if text else []
    return entry


_BREAKS = re.compile(r" (?!≤)")  # the extremes in brackets stay together


class _Outliner:
    """What has been shown so far. (A class: functions that call themselves would keep the objects alive in a cycle.)"""

    def __init__(self) -> None:
        self.shown: dict[int, Path] = {}
        self.alive: list[Any] = []  # ids stay unique as long as the objects live
        self.arrays: list[tuple[list[str], int, Any]] = []  # and where the statistics go

    def visit(self, value: Any, name: str, path: Path) -> Entry:
        if isinstance(value, Object | Variable):
            if id(value) in self.shown:
                return Entry(name, type(value).__name__, [_same_as(self.shown[id(value)])])
            self.shown[id(value)] = path
            self.alive.append(value)
        if isinstance(value, Variable):
            return self.variable(value, name, path)
        if isinstance(value, Object):
            return self.container(name, type(value).__name__, value._graph_items(), path)
        if isinstance(value, GraphDef):
            return _GraphDefOutliner(value).visit(0, name)
        if _is_array(value):
            words: list[str] = []
            self.array(value, words)
            return Entry(name, "", words, sizes={"Array": size_of(value)})
        items = items_of(value)
        if items is not None:
            return self.container(name, type(value).__name__, items, path)
        return static_entry(name, value)

    def container(
        self, name: str, kind: str, items: Iterable[tuple[Any, Any]], path: Path
    ) -> Entry:
        children = [self.visit(child, str(key), (*path, key)) for key, child in items]
        entry = Entry(name, kind, children=children)
        for child in children:
            add_sizes(entry.sizes, child.sizes)
        return entry

    def variable(self, variable: Variable, name: str, path: Path) -> Entry:
        value = variable._value
        kind = type(variable).__name__
        sizes = {kind_of(type(variable)): size_of(value)}
        metadata = [f"{k}={static_text(v)}" for k, v in variable._metadata.items()]
        if variable._frozen:
            metadata.append("frozen")
        if _is_array(value):
            words: list[str] = []
            self.array(value, words)
            words += metadata
            return Entry(name, kind, words, sizes=sizes)
        items = items_of(value)
        if items is not None:
            entry = self.container(name, kind, items, path)
            entry.sizes = sizes
            entry.children += [static_entry(k, v) for k, v in variable._metadata.items()]
            return entry
        return Entry(name, kind, [static_text(value), *metadata])

    def array(self, value: Any, words: list[str]) -> None:
        words.append(type_text(value))
        if isinstance(value, jax.core.Tracer):
            words.append("traced")
        elif is_abstract(value):
            words.append("abstract")
        placement = placement_text(value)
        if placement:
            words.append(placement)
        self.arrays.append((words, len(words), value))


class _GraphDefOutliner:
    """A GraphDef as the graph it describes, without values."""

    def __init__(self, graphdef: GraphDef):
        self.graphdef = graphdef
        self.shown: set[int] = set()

    def visit(self, number: int, name: str) -> Entry:
        node = self.graphdef.nodes[number]
        kind = definition_name(node)
        if number in self.shown and not isinstance(node, ArrayDef):
            return Entry(name, kind, [_same_as(self.graphdef.node_paths[number])])
        self.shown.add(number)
        entry = Entry(name, kind)
        for key, ref in self.graphdef.attributes[number]:
            child = self.visit(ref, str(key)) if type(ref) is int else static_entry(key, ref.value)
            entry.children.append(child)
        if isinstance(node, VariableDef):
            entry.words = [f"{k}={static_text(v)}" for k, v in node.metadata.value.items()]
            entry.words += ["frozen"] if node.frozen else []
        return entry


def definition_name(node: Any) -> str:
    """The name of what a GraphDef's node stands for."""
    if isinstance(node, ObjectDef | VariableDef):
        return node.type.__name__
    if isinstance(node, PytreeDef):
        build = node.build.value
        inner = build.args[0] if build.args else build.func
        if isinstance(inner, jax.tree_util.PyTreeDef):
            data = inner.node_data()
            return data[0].__name__ if data else "pytree"
        return getattr(inner, "__qualname__", type(inner).__name__)
    return "Array"


def static_entry(name: Any, value: Any) -> Entry:
    noise = value is None or value == () or callable(value) or isinstance(value, np.dtype)
    return Entry(str(name), "", [static_text(value)], static=True, noise=bool(noise))


def _same_as(path: Path) -> str:
    return f"same as {'.'.join(map(str, path)) or 'the whole'}"


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def items_of(value: Any) -> list[tuple[Any, Any]] | None:
    """The keys and children of a pytree that holds data; None for anything else."""
    if not holds_data(value):
        return None
    if isinstance(value, Mapping):
        return list(value.items())  # in their own order; as a pytree they would be sorted
    opened = _open(value)
    return opened and opened[0]
