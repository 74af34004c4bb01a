"""Objects as trees that open and close in a notebook, by treescope (an optional package)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import treescope
from treescope import formatting_util, rendering_parts

from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.graph.state import State
from nnxtrain.nnx.inspection.outline import Entry, outline
from nnxtrain.nnx.inspection.sizes import format_sizes
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.variable.variable import Variable

Part = Any  # treescope.rendering_parts.RenderableTreePart
Path = tuple[Any, ...]


def show_tree(value: Any) -> None:
    """Display anything in the notebook's output cell; objects of nnx at any depth are shown as such."""
    with nnx_rendering():
        treescope.display(value, ignore_exceptions=True, autovisualize=True)


@contextlib.contextmanager
def nnx_rendering() -> Iterator[None]:
    """Inside the block treescope knows how to render one value that has objects of nnx in it."""
    renderer = treescope.active_renderer.get().extended_with(handlers=[_Handler()])
    with treescope.active_renderer.set_scoped(renderer):
        yield


_active: ContextVar[_Handler | None] = ContextVar("nnx display", default=None)


def render(node: Any, path: str | None, subtree_renderer: Any) -> Part:
    """What an object's ``__treescope_repr__`` gives: treescope's own displays show it as ``nnx.display`` does."""
    handler = _active.get()
    if handler is not None:
        return handler(node, path, subtree_renderer)
    token = _active.set(_Handler())
    try:
        return render(node, path, subtree_renderer)
    finally:
        _active.reset(token)


class _Handler:
    """Renders the objects of one display: what is shared is shown once."""

    def __init__(self) -> None:
        self.shown: dict[int, str | None] = {}

    def __call__(self, node: Any, path: str | None, subtree_renderer: Any) -> Part:
        if isinstance(node, GraphDef):
            return _entry(outline(node, values=False))
        if isinstance(node, State):
            return self.container(node, node.items(), path, subtree_renderer)
        if not isinstance(node, Object | Variable):
            return NotImplemented
        if id(node) in self.shown:
            where = (self.shown[id(node)] or "").lstrip(".") or "the whole"
            return rendering_parts.text(f"{type(node).__name__}(same as {where})")
        self.shown[id(node)] = path
        if isinstance(node, Variable):
            items = [("value", node._value), *node._metadata.items()]
            return self.container(node, items, path, subtree_renderer, sizes=False)
        return self.container(node, node._graph_items(), path, subtree_renderer)

    def container(
        self,
        node: Any,
        items: Iterable[tuple[Any, Any]],
        path: str | None,
        subtree_renderer: Any,
        sizes: bool = True,
    ) -> Part:
        children = []
        for key, value in items:
            inner = f".{key}" if isinstance(key, str) else f"[{key!r}]"
            rendered = subtree_renderer(value, path=None if path is None else path + inner)
            children.append(rendering_parts.siblings_with_annotations(f"{key}=", rendered))
        note = format_sizes(outline(node, values=False).sizes) if sizes else []
        return _foldable(type(node).__name__, children, note, path)


def _entry(entry: Entry) -> Part:
    """A part of an outline, for what has no objects to render."""
    name = f"{entry.name}=" if entry.name else ""
    if entry.static or not entry.children:
        inside = " ".join(entry.words)
        return rendering_parts.text(name + (f"{entry.kind}({inside})" if entry.kind else inside))
    children = list(map(_entry, entry.children))
    return rendering_parts.siblings_with_annotations(
        name, _foldable(entry.kind, children, [], None)
    )


def _foldable(kind: str, children: list[Part], note: list[str], path: str | None) -> Part:
    if not children:
        return rendering_parts.text(f"{kind}()")
    lines = [
        rendering_parts.build_full_line_with_annotations(child, _comma(child is children[-1]))
        for child in children
    ]
    first_line = rendering_parts.comment_color(rendering_parts.text(f" # {', '.join(note)}"))
    return rendering_parts.build_foldable_tree_node_from_children(
        prefix=rendering_parts.text(f"{kind}("),
        children=lines,
        suffix=")",
        path=path,
        background_color=formatting_util.color_from_string(kind),
        first_line_annotation=first_line if note else None,
    )


def _comma(last: bool) -> Part:
    if last:
        return rendering_parts.fold_condition(expanded=rendering_parts.text(","))
    space = rendering_parts.fold_condition(collapsed=rendering_parts.text(" "))
    return rendering_parts.siblings(",", space)
