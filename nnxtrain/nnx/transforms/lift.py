"""The lift core: run a function of objects as a pure function of arrays.

A call goes through four steps, which every transform shares:

1. :func:`detach`: objects are taken out of the arguments; a :class:`Slot` marks where each one stood.
2. :func:`structure_of_roots`: their structure, from a cache; its values are the pure function's first argument.
3. :func:`call`, inside the trace: copies of the objects are built around the traced values, the function runs, and
   what it changed is found: the new values, and a static :class:`Note` that says whose they are.
4. :func:`attach`, outside: the values are written to the caller's objects.

A trace that changes structure (a new attribute, a static int counted up), or returns objects, leaves a
:class:`Patch` in its note; it is replayed on the caller's objects. An exception in step 3 leaves them untouched.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from nnxtrain.nnx import trace
from nnxtrain.nnx.graph.graphdef import ArrayDef, GraphDef, ObjectDef
from nnxtrain.nnx.graph.state import State
from nnxtrain.nnx.graph.static import static_equal
from nnxtrain.nnx.graph.structure import Check, Structure, structure_of, verify, walk
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.variable.variable import Variable, put_raw


@jax.tree_util.register_static
class Slot:
    """Stands in a tree of arguments or results for the object with this number.

    There is one for each number (:func:`slot_of`): JAX compares them at every call, and by identity is fastest.
    """

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    def __repr__(self) -> str:
        return f"Slot({self.number})"


def slot_of(number: int) -> Slot:
    """The Slot of this number."""
    slot = _slots.get(number)
    return _slots.setdefault(number, Slot(number)) if slot is None else slot


_slots: dict[int, Slot] = {}


class Patch:
    """How the graph looks after a call that changed its structure or returned objects.

    Attributes:
      graphdef: of a tuple of the roots and the returned objects.
      origins: node number there -> node number in the caller's graph, for what was there before.
      rewritten: the numbers of old containers whose attributes must be replaced.
      sent: the leaf numbers whose values come out of the call.
      outputs: for each Slot of the result, its node number.
      sent_from: for each of them the number of the caller's leaf, or None for a new one.
      restructured: the paths of what changed its structure (returning objects is no change).
    """

    __slots__ = (
        "graphdef",
        "origins",
        "outputs",
        "restructured",
        "rewritten",
        "sent",
        "sent_from",
    )

    def __init__(
        self,
        graphdef: GraphDef,
        origins: dict[int, int],
        rewritten: frozenset,
        sent: tuple,
        sent_from: tuple,
        outputs: tuple,
        restructured: tuple,
    ):
        self.graphdef = graphdef
        self.origins = origins
        self.rewritten = rewritten
        self.sent = sent
        self.sent_from = sent_from
        self.outputs = outputs
        self.restructured = restructured


@jax.tree_util.register_static
class Note:
    """What a trace found about its own effects; belongs to the trace, so it compares by identity."""

    __slots__ = ("changed", "patch")

    def __init__(self, changed: tuple[int, ...], patch: Patch | None):
        self.changed = changed
        self.patch = patch


_LEAVES = (
    jax.Array,
    np.ndarray,
    np.generic,
    int,
    float,
    complex,
    bool,
    str,
    type(None),
    State,
    jax.ShapeDtypeStruct,
)


_OBJECTS = (Object, Variable)
# The types of leaves met so far: an instance check against jax.Array runs Python code.
leaf_types: set[type] = {Slot}


def _is_object(value: Any) -> bool:
    return isinstance(value, (*_OBJECTS, State))


def detach(
    args: tuple, kwargs: dict, roots: list[Any] | None = None
) -> tuple[tuple, dict, tuple[Any, ...]]:
    """Replace each object in the arguments by a Slot; the same object gets the same number."""
    slots = _Slots([] if roots is None else roots)
    taken = tuple([slots.take(a) for a in args])
    return taken, {k: slots.take(v) for k, v in kwargs.items()}, tuple(slots.found)


class _Slots:
    """Hands out Slots for objects. (A class: functions that call themselves would keep the objects alive in a cycle.)"""

    __slots__ = ("found", "numbers")

    def __init__(self, found: list[Any]):
        self.found = found
        self.numbers = {id(r): i for i, r in enumerate(found)}

    def slot(self, value: Any) -> Any:
        if not isinstance(value, _OBJECTS):
            return value
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.found)
            self.found.append(value)
        return slot_of(number)

    def take(self, value: Any) -> Any:
        kind = type(value)
        if kind in leaf_types:
            return value
        if isinstance(value, _OBJECTS):
            return self.slot(value)
        if isinstance(value, _LEAVES):
            leaf_types.add(kind)
            return value
        if kind is tuple or kind is list:
            return kind([self.take(v) for v in value])
        if kind is dict:
            return {k: self.take(v) for k, v in value.items()}
        leaves = jax.tree_util.tree_leaves(value, is_leaf=_is_object)
        if any(isinstance(leaf, _OBJECTS) for leaf in leaves):
            return jax.tree.map(self.slot, value, is_leaf=_is_object)
        return value


def refill(tree: Any, objects: Any) -> Any:
    """Put objects in the place of their Slots."""
    if isinstance(tree, Slot):
        return objects[tree.number]
    return jax.tree.map(
        lambda x: objects[x.number] if isinstance(x, Slot) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Slot | State),
    )


def slots_in(tree: Any) -> list[Slot]:
    """The Slots of a tree, in order."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Slot | State))
    return [leaf for leaf in leaves if isinstance(leaf, Slot)]


def structure_of_roots(roots: tuple[Any, ...]) -> Structure:
    """The structure of an argument tuple, from a cache where it still holds.

    It is kept by the first object among the roots, not by the transformed function: so it dies with its object.
    """
    if len(roots) == 1:
        return structure_of(roots[0])
    owner = next((r for r in roots if isinstance(r, Object)), None)
    if owner is None:  # nothing, or a few Variables: soon walked
        return walk(roots)
    if owner._joint is None:
        object.__setattr__(owner, "_joint", OrderedDict())
    held: OrderedDict[tuple[int, ...], tuple[tuple, Structure]] = owner._joint
    key = tuple(map(id, roots))
    entry = held.get(key)
    if entry is not None and entry[1].is_current(roots):
        if Check.enabled:
            verify(entry[1], roots)
        return entry[1]
    structure = walk(roots).forget_roots()
    forget = partial(_forget_joint, weakref.ref(owner), key)
    held[key] = tuple(weakref.ref(r, forget) for r in roots if r is not owner), structure
    while len(held) > MAX_JOINT:
        held.popitem(last=False)
    return structure


MAX_JOINT = 16  # structures that one object keeps, together with others


def _forget_joint(owner: weakref.ref[Object], key: tuple[int, ...], dead: Any) -> None:
    alive = owner()
    if alive is not None:
        alive._joint.pop(key, None)


def call(
    transform: str,
    fun: Callable,
    graphdef: GraphDef,
    num_roots: int,
    values: Any,
    args: tuple,
    kwargs: dict,
    *,
    compiled: bool = False,
    always: frozenset[int] = frozenset(),
) -> tuple[Any, list[Any], Note]:
    """Run ``fun`` on copies of the objects.

    Args:
      always: leaf numbers whose values are sent out even if they were not written (they were donated).

    Returns:
      the result with Slots for objects, the values to send out, and the note that says whose they are.
    """
    with trace.level(transform, fun, compiled=compiled):
        nodes = graphdef.build(values, keep_frozen=True)
        roots = () if num_roots == 0 else (nodes[0],) if num_roots == 1 else tuple(nodes[0])
        versions = {id(n): n._version for n in nodes if isinstance(n, Object)}
        metadata = {id(n): n._metadata for n in nodes if isinstance(n, Variable)}
        out = fun(*refill(args, roots), **refill(kwargs, roots))

        outputs: list[Any] = []
        (out,), _, outputs_found = detach((out,), {}, outputs)
        changes = frozenset(
            i
            for i, n in enumerate(nodes)
            if (isinstance(n, Object) and n._version != versions[id(n)])
            or (isinstance(n, Variable) and n._metadata is not metadata[id(n)])
        )
        if outputs_found or changes:
            patch, sent = _patch(graphdef, nodes, changes, values, roots, outputs_found, always)
            return out, sent, Note((), patch)
        now = _values_now(graphdef, nodes)
        changed = tuple(
            i for i, (old, new) in enumerate(zip(values, now)) if old is not new or i in always
        )
        return out, [now[i] for i in changed], Note(changed, None)


def _values_now(graphdef: GraphDef, nodes: list[Any]) -> list[Any]:
    """The present values of built nodes, leaf by leaf; array attributes are read from their containers."""
    now: list[Any] = [
        n._value if isinstance(n, Variable) else n for n in (nodes[i] for i in graphdef.leaf_nodes)
    ]
    if any(isinstance(graphdef.nodes[i], ArrayDef) for i in graphdef.leaf_nodes):
        position = {node: leaf for leaf, node in enumerate(graphdef.leaf_nodes)}
        for number, attributes in enumerate(graphdef.attributes):
            if isinstance(graphdef.nodes[number], ObjectDef):
                for key, ref in attributes:
                    if type(ref) is int and isinstance(graphdef.nodes[ref], ArrayDef):
                        now[position[ref]] = nodes[number]._graph_get(key)
    return now


def _patch(
    graphdef: GraphDef,
    nodes: list[Any],
    changes: frozenset[int],
    values: Any,
    roots: tuple,
    outputs: tuple,
    always: frozenset[int],
) -> tuple[Patch, list[Any]]:
    before = {id(n): i for i, n in enumerate(nodes) if isinstance(n, Object | Variable)}
    leaf_of = {node: leaf for leaf, node in enumerate(graphdef.leaf_nodes)}
    after = walk((*roots, *outputs))
    reached = set(map(id, after.nodes))
    dropped = [n for n in nodes if id(n) in before and id(n) not in reached]
    if dropped:  # what the function took out of the graph may live on in the caller's hands
        after = walk((*roots, *outputs, *dropped))
    origins, rewritten = {}, set()
    for number, node in enumerate(after.nodes):
        if id(node) in before:
            origins[number] = before[id(node)]
            if isinstance(node, Object):
                holds_array = any(
                    type(ref) is int and isinstance(after.graphdef.nodes[ref], ArrayDef)
                    for _, ref in after.graphdef.attributes[number]
                )
                if holds_array or before[id(node)] in changes:
                    rewritten.add(number)
    arrays = _arrays_kept(graphdef, after.graphdef, origins)
    sent, sent_from, out = [], [], []
    for leaf, (number, live) in enumerate(zip(after.graphdef.leaf_nodes, after.leaves)):
        origin = origins.get(number)
        if (
            origin is None
            or leaf_of[origin] in always
            or live._value is not values[leaf_of[origin]]
        ):
            sent.append(leaf)
            sent_from.append(leaf_of.get(arrays.get(number, -1) if origin is None else origin))
            out.append(live._value)
    numbers = {id(n): i for i, n in enumerate(after.nodes)}
    places = tuple(numbers[id(o)] for o in outputs)
    restructured = tuple(graphdef.node_paths[i] for i in sorted(changes))
    patch = Patch(
        after.graphdef,
        origins,
        frozenset(rewritten),
        tuple(sent),
        tuple(sent_from),
        places,
        restructured,
    )
    return patch, out


def _arrays_kept(before: GraphDef, after: GraphDef, origins: dict[int, int]) -> dict[int, int]:
    """Node number after -> before, of the arrays that are the same attribute of the same object."""
    kept = {}
    for new, old in origins.items():
        held = dict(before.attributes[old])
        for key, ref in after.attributes[new]:
            if type(ref) is int and isinstance(after.nodes[ref], ArrayDef):
                was = held.get(key)
                if type(was) is int and isinstance(before.nodes[was], ArrayDef):
                    kept[ref] = was
    return kept


def attach(structure: Structure, roots: tuple[Any, ...], out: Any, sent: Any, note: Note) -> Any:
    """Write what a call changed to the caller's objects, and return its result with objects in it."""
    if note.patch is not None:
        return _replay(note.patch, roots, out, sent)
    if note.changed:
        if trace.thread.level is not None or trace.current_trace() is not trace.EAGER:
            for number in note.changed:
                leaf = structure.leaves[number]
                if isinstance(leaf, Variable):
                    trace.check_write(leaf)
        structure.put(note.changed, sent)
    return out


def _replay(patch: Patch, roots: tuple[Any, ...], out: Any, sent: Any) -> Any:
    graphdef = patch.graphdef
    old = walk(roots if len(roots) != 1 else roots[0]).nodes
    known = {number: old[origin] for number, origin in patch.origins.items()}
    for number in patch.rewritten:
        known[number]._check_write("*")
    leaves: list[Any] = [None] * graphdef.num_leaves
    for leaf, value in zip(patch.sent, sent):
        leaves[leaf] = value
        number = graphdef.leaf_nodes[leaf]
        if number in known:
            trace.check_write(known[number])
            put_raw(known[number], value)
    nodes = graphdef.build(leaves, known)
    for number in patch.rewritten:
        held = dict(known[number]._graph_items())
        items = []
        for key, ref in graphdef.attributes[number]:
            value = nodes[ref] if type(ref) is int else ref.value
            if type(ref) is not int and key in held and static_equal(held[key], value):
                value = held[key]  # the caller's own object, not the equal one of another model
            items.append((key, value))
        known[number]._graph_assign(items)
        known[number]._count_change()
    for number, node in known.items():
        if isinstance(node, Variable):
            node._write_metadata(dict(graphdef.nodes[number].metadata.value))
    return refill(out, [nodes[i] for i in patch.outputs])
