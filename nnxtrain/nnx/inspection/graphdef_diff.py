"""What differs between two GraphDefs: the attributes, types and metadata, by path."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from nnxtrain.nnx.graph.graphdef import GraphDef, ObjectDef, Path, PytreeDef, VariableDef
from nnxtrain.nnx.graph.static import Static, static_equal
from nnxtrain.nnx.inspection.outline import definition_name
from nnxtrain.nnx.inspection.static_text import static_text


class Difference(NamedTuple):
    """One difference between two GraphDefs.

    Attributes:
      path: where it is; the last item is the attribute (for metadata: its name).
      old, new: what was there and is there, as text ("absent": nothing).
      advice: what to do about it, where that is known.
    """

    path: Path
    old: str
    new: str
    advice: str = ""

    def __str__(self) -> str:
        where = ".".join(map(str, self.path))
        text = f"{self.old} -> {self.new}"
        return (f"{where}: " if where else "") + text + (f" ({self.advice})" if self.advice else "")


ABSENT = "absent"


def graphdef_diff(old: GraphDef, new: GraphDef) -> tuple[Difference, ...]:
    """The differences between two GraphDefs; none if, and only if, they are equal.

    >>> from nnxtrain import nnx
    >>> dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    >>> before = nnx.graphdef(dropout)
    >>> dropout.deterministic = True
    >>> print(*graphdef_diff(before, nnx.graphdef(dropout)))
    deterministic: False -> True
    """
    if old == new:
        return ()
    comparison = _Comparison(old, new)
    comparison.nodes(0, 0, ())
    found = comparison.found
    return tuple(found) or (Difference((), repr(old), repr(new), "the order of the nodes differs"),)


class _Comparison:
    """The pairs of nodes seen so far and what differed. (A class, as it walks cycles.)"""

    def __init__(self, old: GraphDef, new: GraphDef):
        self.old = old
        self.new = new
        self.found: list[Difference] = []
        self.pairs: set[tuple[int, int]] = set()
        self.partner: dict[int, int] = {}  # old node -> the new node first met in its place
        self.partner_of_new: dict[int, int] = {}

    def nodes(self, a: int, b: int, path: Path) -> None:
        if (a, b) in self.pairs:
            return
        self.pairs.add((a, b))
        met = self.partner.setdefault(a, b) != b
        met_new = self.partner_of_new.setdefault(b, a) != a
        if met or met_new:
            self.add(path, self.identity(self.old, a, path), self.identity(self.new, b, path))
            return
        one, two = self.old.nodes[a], self.new.nodes[b]
        if type(one) is not type(two):
            self.add(path, definition_name(one), definition_name(two))
        elif isinstance(one, VariableDef):
            self.variables(one, two, path)
        elif isinstance(one, ObjectDef):
            if one.type is not two.type:
                self.types(one.type, two.type, path)
                return
            if one.link != two.link:
                self.add(path, self.link(self.old, one), self.link(self.new, two))
            self.attributes(a, b, path)
        elif isinstance(one, PytreeDef):
            known = len(self.found)
            self.attributes(a, b, path)
            if one.build != two.build and len(self.found) == known:
                self.statics(_built_by(one), _built_by(two), path)

    def variables(self, one: VariableDef, two: VariableDef, path: Path) -> None:
        if one.type is not two.type:
            self.types(one.type, two.type, path)
        if one.frozen != two.frozen:
            texts = ["frozen" if v.frozen else "not frozen" for v in (one, two)]
            self.add(path, texts[0], texts[1])
        before, after = one.metadata.value, two.metadata.value
        for name in {**before, **after}:
            held = [Static(m[name]) if name in m else None for m in (before, after)]
            if held[0] is None or held[1] is None or held[0] != held[1]:
                self.statics(held[0], held[1], (*path, name))
        if list(before) != list(after) and before.keys() == after.keys():
            self.order(list(before), list(after), path)

    def attributes(self, a: int, b: int, path: Path) -> None:
        before, after = dict(self.old.attributes[a]), dict(self.new.attributes[b])
        for key in {**before, **after}:
            one, two = before.get(key), after.get(key)
            if type(one) is int and type(two) is int:
                self.nodes(one, two, (*path, key))
            elif isinstance(one, Static) and isinstance(two, Static):
                if one != two:
                    self.statics(one, two, (*path, key))
            else:
                self.add((*path, key), self.text(self.old, one), self.text(self.new, two))
        common = [key for key in before if key in after], [key for key in after if key in before]
        if common[0] != common[1]:
            self.order(*common, path)

    def statics(self, one: Static | None, two: Static | None, path: Path) -> None:
        old, new = (ABSENT if v is None else static_text(v.value) for v in (one, two))
        advice = ""
        if one is not None and two is not None:
            if old == new and type(one.value) is not type(two.value):
                old, new = (
                    f"{text} ({type(v.value).__name__})" for text, v in ((old, one), (new, two))
                )
            advice = identity_advice(one.value, two.value)
        self.add(path, old, new, advice)

    def types(self, one: type, two: type, path: Path) -> None:
        if one.__name__ != two.__name__:
            self.add(path, one.__name__, two.__name__)
            return
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in (one, two)]
        advice = (
            "another class of the same name: it was defined again" if names[0] == names[1] else ""
        )
        self.add(path, names[0], names[1], advice)

    def order(self, before: list[Any], after: list[Any], path: Path) -> None:
        texts = [f"attributes in the order {', '.join(map(str, keys))}" for keys in (before, after)]
        self.add(path, texts[0], texts[1], "set them in one order")

    def add(self, path: Path, old: str, new: str, advice: str = "") -> None:
        self.found.append(Difference(path, old, new, advice))

    def text(self, graphdef: GraphDef, ref: Any) -> str:
        if ref is None:
            return ABSENT
        return definition_name(graphdef.nodes[ref]) if type(ref) is int else static_text(ref.value)

    def identity(self, graphdef: GraphDef, number: int, path: Path) -> str:
        first = graphdef.node_paths[number]
        name = definition_name(graphdef.nodes[number])
        if first == path:
            return f"{name} of its own"
        return f"{name} shared with {'.'.join(map(str, first)) or 'the whole'}"

    def link(self, graphdef: GraphDef, node: ObjectDef) -> str:
        if node.link is None:
            return "its model is not passed"
        return f"its model is {'.'.join(map(str, graphdef.node_paths[node.link])) or 'the whole'}"


def _built_by(node: PytreeDef) -> Static:
    """What tells two pytrees of the same children apart: the treedef, or the function of a method or a partial."""
    build = node.build.value
    return Static(build.args[0] if build.args else build.func)


def identity_advice(old: Any, new: Any) -> str:
    """Why two static values that look alike differ, and what to do; "" where it is plain to see.

    A function made anew for each model, such as a lambda, equals no other. The most common cause of hidden compiles.

    >>> identity_advice(lambda x: x, lambda x: x)  # doctest: +ELLIPSIS
    'a function made anew is never equal to another; define it once, outside of what builds the model...'
    """
    one, two = _first_unequal(old, new)
    if type(one) is not type(two):
        return ""
    code = getattr(one, "__code__", None)
    if code is not None:
        other = two.__code__
        again = (code.co_name, code.co_filename) == (other.co_name, other.co_filename)
        if not again:
            return ""
        advice = "a function made anew is never equal to another; define it once, outside of what builds the model"
        if one.__closure__:
            advice += ", and bind what it needs with functools.partial, which compares by its parts"
        return advice
    kind = type(one)
    if kind.__eq__ is object.__eq__ and not isinstance(one, type) and not callable(one):
        return (
            f"a {kind.__name__} is compared by identity; give it __eq__ and __hash__ (a frozen dataclass has "
            "them), or share one object"
        )
    if kind.__eq__ is object.__eq__ and callable(one) and not isinstance(one, type):
        return f"a {kind.__name__} made anew is never equal to another; make it once and share it"
    if static_text(one) == static_text(two):
        return f"they look alike, but == says no: see {kind.__name__}.__eq__"
    return ""


def _first_unequal(old: Any, new: Any) -> tuple[Any, Any]:
    """The innermost parts of two unequal values that differ."""
    if type(old) is type(new):
        if isinstance(old, partial):
            parts = [(old.func, new.func), (old.args, new.args), (old.keywords, new.keywords)]
        elif isinstance(old, tuple | list) and len(old) == len(new):
            parts = list(zip(old, new))
        elif isinstance(old, dict) and list(old) == list(new):
            parts = [(old[key], new[key]) for key in old]
        else:
            parts = []
        for one, two in parts:
            if not static_equal(one, two):
                return _first_unequal(one, two)
    return old, new
