"""See which methods of which modules a call runs, with which inputs and outputs, without touching the modules.

A model is built a second time from its GraphDef, with abstract values, and with a recording subclass in the place of
each module's class. So neither the user's objects nor the user's classes change, and other threads are not concerned.
The class tells which module it stands for, also of the copies that a transform inside of the model makes.
"""

from __future__ import annotations

import inspect
import types
from collections import defaultdict
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax

from nnxtrain.nnx import trace
from nnxtrain.nnx.graph.graphdef import GraphDef, ObjectDef
from nnxtrain.nnx.graph.pytree import register_object
from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.module.containers import Dict, List
from nnxtrain.nnx.module.module import Module, new_object
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.variable.variable import Variable


class Work(NamedTuple):
    """One method call as a pure function of arrays: ``work.run(*work.inputs)``, under a trace."""

    method: str
    graphdef: GraphDef
    num_roots: int
    values: list[Any]
    dynamic: list[Any]
    static: list[Any]
    treedef: Any

    @property
    def inputs(self) -> tuple[list[Any], list[Any]]:
        return self.values, self.dynamic

    @property
    def key(self) -> tuple:
        """Equal for calls that cost the same: those of layers that are built alike, with inputs of the same types."""
        leaves, treedef = jax.tree.flatten((self.inputs, self.static))
        return self.method, self.graphdef, treedef, Static(leaves), self.treedef

    def run(self, values: list[Any], dynamic: list[Any]) -> Any:
        nodes = self.graphdef.build(values, keep_frozen=True)
        roots = (nodes[0],) if self.num_roots == 1 else tuple(nodes[0])
        arrays = iter(dynamic)
        leaves = [next(arrays) if leaf is _DYNAMIC else leaf for leaf in self.static]
        args, kwargs = lift.refill(jax.tree.unflatten(self.treedef, leaves), roots)
        return getattr(args[0], self.method)(*args[1:], **kwargs)


_DYNAMIC = object()


def work_of(obj: Any, method: str, args: tuple, kwargs: dict) -> Work:
    """Take a method call apart. Arrays among the arguments are dynamic; numbers, strings and flags stay as they are."""
    args, kwargs, roots = lift.detach((obj, *args), kwargs)
    structure = walk(roots if len(roots) > 1 else roots[0])
    leaves, treedef = jax.tree.flatten((args, kwargs))
    return Work(
        method,
        _without_recording(structure.graphdef),
        len(roots),
        jax.tree.map(abstract, structure.values()),
        [abstract(leaf) for leaf in leaves if _is_array(leaf)],
        [_DYNAMIC if _is_array(leaf) else leaf for leaf in leaves],
        treedef,
    )


def _without_recording(graphdef: GraphDef) -> GraphDef:
    """The GraphDef with the user's classes in the place of recording ones."""
    nodes = tuple(
        node._replace(type=node.type.__mro__[2])
        if isinstance(node, ObjectDef) and issubclass(node.type, _Recording)
        else node
        for node in graphdef.nodes
    )
    return GraphDef(nodes, graphdef.attributes, graphdef.num_leaves)


def abstract(value: Any) -> Any:
    """An array's ShapeDtypeStruct; other leaves as they are."""
    if not _is_array(value):
        return value
    weak = bool(getattr(value, "weak_type", False))
    return jax.ShapeDtypeStruct(value.shape, value.dtype, weak_type=weak)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, Variable)


class Call(NamedTuple):
    """A method call that was seen: ``node`` is the number of the module in the recorded model's GraphDef."""

    node: int
    method: str
    inputs: tuple[tuple, dict]
    outputs: Any
    work: Work | None


class Recorder:
    """Collects calls in the order in which they begin.

    Args:
      work: the call to look into. Its first object is the model.
      num_nodes: how many nodes the model's GraphDef has.
      keep_work: keep of each call what is needed to run it again.
    """

    def __init__(self, work: Work, num_nodes: int, keep_work: bool):
        self.keep_work = keep_work
        self.calls: list[Call | None] = []
        self.numbers: dict[type, int] = {}
        used: dict[type, int] = defaultdict(int)
        nodes = list(work.graphdef.nodes)
        first = 0 if work.num_roots == 1 else 1  # several roots: node 0 is the tuple of them
        for number in range(num_nodes):
            node = nodes[first + number]
            if isinstance(node, ObjectDef) and recorded_methods(node.type):
                recording = _recording_class(node.type, used[node.type])
                used[node.type] += 1
                self.numbers[recording] = number
                nodes[first + number] = node._replace(type=recording)
        graphdef = work.graphdef
        self.work = work._replace(
            graphdef=GraphDef(tuple(nodes), graphdef.attributes, graphdef.num_leaves)
        )

    def run(self) -> None:
        """Make the call, with abstract values."""
        token = _recorder.set(self)
        try:
            with trace.level("nnx.tabulate", self.work.run):
                jax.eval_shape(self._run, *self.work.inputs)
        finally:
            _recorder.reset(token)

    def _run(self, values: list[Any], dynamic: list[Any]) -> None:
        self.work.run(values, dynamic)

    def finished(self) -> list[Call]:
        return [call for call in self.calls if call is not None]

    def call(self, obj: Any, name: str, method: Any, args: tuple, kwargs: dict) -> Any:
        number = self.numbers.get(type(obj))
        if number is None:
            return method(*args, **kwargs)
        position = len(self.calls)
        self.calls.append(None)
        inputs = jax.tree.map(abstract, (args, kwargs), is_leaf=_is_node)
        work = work_of(obj, name, args, kwargs) if self.keep_work else None
        outputs = method(*args, **kwargs)
        self.calls[position] = Call(
            number, name, inputs, jax.tree.map(abstract, outputs, is_leaf=_is_node), work
        )
        return outputs


def _is_node(value: Any) -> bool:
    return isinstance(value, Module)


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


class _Recording:
    """Stands before the user's class, so that its ``__init_subclass__`` is not told of recording subclasses."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any):
        pass


_BASES = {*Module.__mro__, *List.__mro__, *Dict.__mro__}


def recorded_methods(cls: type) -> list[str]:
    """``__call__`` and the public methods that a class has beyond those of every Module."""
    names: dict[str, bool] = {}
    for base in cls.__mro__:
        if base not in _BASES and base.__module__ not in ("typing", "abc", "collections.abc"):
            for name, value in vars(base).items():
                if name == "__call__" or not name.startswith("_"):
                    names.setdefault(name, _is_method(value))
    return [name for name, is_method in names.items() if is_method]


def _is_method(value: Any) -> bool:
    """True for a function, and for what wraps one and binds like it (``nnx.jit(function)``)."""
    if isinstance(value, type | staticmethod | classmethod | property):
        return False
    return callable(value) and hasattr(type(value), "__get__")


# JAX keeps every pytree class for good. So recording classes are used again: the n-th module of a class has the n-th.
_classes: dict[type, list[type]] = defaultdict(list)


def _recording_class(cls: type, index: int) -> type:
    made = _classes[cls]
    while len(made) <= index:
        made.append(_new_recording_class(cls))
    return made[index]


def _new_recording_class(cls: type) -> type:
    namespace: dict[str, Any] = {
        "__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__,
    }  # fmt: skip
    recording: type = types.new_class(
        cls.__name__, (_Recording, cls), {}, lambda body: body.update(namespace)
    )
    for name in recorded_methods(cls):
        setattr(recording, name, _recorded(recording, name))
    if not jax.tree.leaves(new_object(cls)):  # an empty pytree, and not a leaf
        register_object(recording)
    return recording


def _recorded(recording: type, name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        inner = getattr(super(recording, self), name)
        recorder = _recorder.get()
        if recorder is None:
            return inner(*args, **kwargs)
        return recorder.call(self, name, inner, args, kwargs)

    method.__name__ = name
    method.__signature__ = _signature(recording, name)  # type: ignore[attr-defined]
    return method


def _signature(recording: type, name: str) -> inspect.Signature | None:
    try:
        return inspect.signature(getattr(recording.__mro__[2], name))
    except (TypeError, ValueError):
        return None
