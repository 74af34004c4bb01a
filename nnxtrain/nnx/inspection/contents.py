"""The Variables of each object in a graph, and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnxtrain.nnx.graph.graphdef import ArrayDef, GraphDef, ObjectDef, PytreeDef, VariableDef
from nnxtrain.nnx.inspection.sizes import Sizes, add_sizes, kind_of, size_of
from nnxtrain.nnx.inspection.static_text import static_text
from nnxtrain.nnx.inspection.tree_text import tree_text
from nnxtrain.nnx.module.containers import Dict, List


class Contents:
    """What the nodes of a graph hold. What is shared belongs to the node that comes first.

    Attributes:
      sizes: for each node the sizes by kind of all that is in it.
      texts: for each node and kind the texts of its own Variables: ``kernel: float32[2,3]``. Those in its lists, dicts
        and tuples are its own.
    """

    def __init__(self, graphdef: GraphDef, values: Sequence[Any]):
        self.graphdef = graphdef
        self.values = dict(zip(graphdef.leaf_nodes, values))
        self.sizes: dict[int, Sizes] = {}
        self.texts: dict[int, dict[str, list[str]]] = {}
        self.visit(0)

    @property
    def kinds(self) -> list[str]:
        return sorted(self.sizes[0])

    def visit(self, number: int) -> None:
        sizes: Sizes = {}
        texts: dict[str, list[str]] = {}
        self.sizes[number], self.texts[number] = sizes, texts
        for key, ref in self.graphdef.attributes[number]:
            if type(ref) is not int or ref in self.sizes:  # static, or counted before
                continue
            self.visit(ref)
            add_sizes(sizes, self.sizes[ref])
            node = self.graphdef.nodes[ref]
            if isinstance(node, VariableDef | ArrayDef | PytreeDef) or (
                isinstance(node, ObjectDef) and node.type in (List, Dict)
            ):
                for kind, lines in self.texts[ref].items():
                    texts.setdefault(kind, []).extend(_under(key, line) for line in lines)
        node = self.graphdef.nodes[number]
        if isinstance(node, VariableDef | ArrayDef):
            value = self.values[number]
            kind = kind_of(node.type) if isinstance(node, VariableDef) else "Array"
            sizes[kind] = size_of(value)
            text = tree_text(value)
            if isinstance(node, VariableDef):
                for name, metadatum in node.metadata.value.items():
                    text += f" {name}={static_text(metadatum)}"
            texts[kind] = [f": {text}"]


def _under(key: Any, line: str) -> str:
    return f"{key}{line}" if line.startswith(":") else f"{key}.{line}"
