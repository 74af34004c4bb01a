"""What the transforms share: a function whose objects are arguments, and one call of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple, cast

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.graph.structure import Structure
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.callables import Transformed, unbind


class Updates(NamedTuple):
    """The mode flags of Flax, by their meaning.

    Attributes:
      graph: False makes a shared reference among the arguments an error.
      graph_updates: False makes a change of structure inside the function an error; values are carried.
    """

    graph: bool | None = None
    graph_updates: bool | None = None

    def check_in(self, name: str, graphdef: GraphDef) -> None:
        if self.graph is False and graphdef.shared_path is not None:
            raise StructureError(
                f"{name} with graph=False takes trees, but {dotted(graphdef.shared_path)} is reached more than once"
            )

    def check_out(self, name: str, note: lift.Note) -> None:
        if self.graph_updates is False and note.patch is not None and note.patch.restructured:
            raise StructureError(
                f"{name} with graph_updates=False carries values only, but the function changed the structure of "
                f"{dotted(note.patch.restructured[0])}"
            )


class Call(NamedTuple):
    """The arguments of one call, taken apart; Slots stand for the objects."""

    structure: Structure
    roots: tuple[Any, ...]
    args: tuple
    kwargs: dict

    @property
    def graphdef(self) -> GraphDef:
        return self.structure.graphdef


class Lifted(Transformed):
    """A function of objects, to be run as a pure function of arrays; the base of the transformed functions."""

    def __init__(
        self, name: str, f: Any, graph: bool | None = None, graph_updates: bool | None = None
    ):
        self.name = name
        self.fun, self.bound = unbind(f)
        self.updates = Updates(graph, graph_updates)
        functools.update_wrapper(cast(Any, self), self.fun, updated=())
        self.__wrapped__ = f  # whose parameters are those of a call: without what it is bound to

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(cast(Any, self), instance)

    def detach(self, args: tuple, kwargs: dict) -> Call:
        """Take the objects out of the arguments, those that the function is bound to included."""
        args, kwargs, roots = lift.detach((*self.bound, *args), kwargs)
        structure = lift.structure_of_roots(roots)
        self.updates.check_in(self.name, structure.graphdef)
        return Call(structure, roots, args, kwargs)

    def run(
        self, call: Call, values: Any, args: tuple, kwargs: dict, fun: Callable | None = None
    ) -> tuple[Any, list[Any], lift.Note]:
        """Run the function (or ``fun`` in its place) on copies of the call's objects: see ``lift.call``."""
        out, sent, note = lift.call(
            self.name, fun or self.fun, call.graphdef, len(call.roots), values, args, kwargs
        )
        self.updates.check_out(self.name, note)
        return out, sent, note

    def attach(self, call: Call, out: Any, sent: Any, note: lift.Note) -> Any:
        """Write what changed to the caller's objects, and return the result with objects in it."""
        return lift.attach(call.structure, call.roots, out, sent, note)


def positional(fun: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Turn keyword arguments into positional ones, as far as the function's signature allows."""
    if not kwargs:
        return args, kwargs
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return args, kwargs
    moved, rest = list(args), dict(kwargs)
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    last = max((i for i, p in enumerate(places) if p.name in rest), default=-1)
    for parameter in places[len(args) : last + 1]:
        if parameter.name in rest:
            moved.append(rest.pop(parameter.name))
        elif parameter.default is not parameter.empty:
            moved.append(parameter.default)
        else:
            break  # the function will say what is missing
    return tuple(moved), rest


def dotted(path: tuple) -> str:
    """A path as text: ("model", "layers", 0) is "model.layers.0"."""
    return ".".join(map(str, path)) or "the object"
