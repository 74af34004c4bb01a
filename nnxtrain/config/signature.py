"""What a ``_target_`` accepts: its parameters, and whether a plain value fits an annotation."""

from __future__ import annotations

import builtins
import collections.abc
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNKNOWN = inspect.Parameter.empty
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)
_MAPPINGS = (dict, collections.abc.Mapping)


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function, or of a class's constructor without ``self``.

    A class is looked at through ``__init__``: a metaclass that wraps the call (as that of a module
    library does) hides the signature behind ``(*args, **kwargs)``.
    Annotations are evaluated one by one; one that cannot be (it is only imported for type
    checkers, say) becomes unknown instead of spoiling the others.
    """
    function: Any = target
    if isinstance(target, type):
        constructors = (getattr(target, name) for name in ("__init__", "__new__"))
        own = [f for f in constructors if f not in (object.__init__, object.__new__)]
        if not own:
            return {}
        function = own[0]
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins have none
        variable = inspect.Parameter.VAR_KEYWORD
        return {"kwargs": inspect.Parameter("kwargs", variable)}
    if isinstance(target, type):
        found = found[1:]
    where = _namespace(function)
    return {p.name: p.replace(annotation=_evaluate(p.annotation, where)) for p in found}


def _namespace(function: Any) -> dict[str, Any]:
    inner = inspect.unwrap(getattr(function, "func", function))
    module = sys.modules.get(getattr(inner, "__module__", None) or "")
    return getattr(inner, "__globals__", None) or vars(module or builtins)


def _evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)  # the author's own annotation, as typing evaluates it
    except Exception:
        return UNKNOWN


def accepts(annotation: Any, value: Any) -> bool:
    """Return whether a plain value fits an annotation; where that cannot be told, True.

    >>> accepts(int, "three"), accepts(int, True), accepts(float, 3), accepts(list[int], [1, 2])
    (False, False, True, True)
    >>> accepts(int | None, None), accepts(tuple[int, int], [5]), accepts("Unknown", "x")
    (True, False, True)
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return accepts(arguments[0], value)
    if origin in (typing.Union, types.UnionType):
        return any(accepts(choice, value) for choice in arguments)
    if origin is typing.Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation in (int, float):
        kinds = int if annotation is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if annotation in (str, Path):
        return isinstance(value, str)
    if annotation in _SEQUENCES or origin in _SEQUENCES:
        return isinstance(value, list) and _elements(origin, arguments, value)
    if annotation in _MAPPINGS or origin in _MAPPINGS:
        if not isinstance(value, dict):
            return False
        return len(arguments) != 2 or all(accepts(arguments[1], v) for v in value.values())
    if annotation is collections.abc.Callable or origin is collections.abc.Callable:
        return False  # a function comes as a node, which is not looked at here
    return not (_is_numeric(annotation) and (value is None or isinstance(value, str | dict)))


def _elements(origin: Any, arguments: tuple[Any, ...], values: list[Any]) -> bool:
    if not arguments:
        return True
    if origin is tuple and arguments[-1] is not Ellipsis:
        return len(values) == len(arguments) and all(map(accepts, arguments, values))
    return all(accepts(arguments[0], value) for value in values)


def _is_numeric(annotation: Any) -> bool:
    """An array or a scalar of numpy or jax, for which a plain number stands in."""
    names = {"Array", "ndarray", "number", "bool", "bool_", "complex"}
    return (
        isinstance(annotation, type)
        and annotation.__name__.rpartition(".")[2] in names
        and annotation.__module__.partition(".")[0] in ("jax", "jaxlib", "numpy", "builtins")
    )


def is_required(parameter: inspect.Parameter) -> bool:
    """Return whether a call must give the parameter."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is UNKNOWN and parameter.kind not in variable


def stays_unbuilt(annotation: Any) -> bool:
    """Return whether nodes stay unbuilt: the parameter is annotated ``functools.partial``, or a sequence of it.

    >>> stays_unbuilt(collections.abc.Sequence[functools.partial[Any]]), stays_unbuilt(list[int])
    (True, False)
    """
    if (typing.get_origin(annotation) or annotation) is functools.partial:
        return True
    return any(map(stays_unbuilt, typing.get_args(annotation)))


def spelled(annotation: Any) -> str:
    """Return an annotation the way a person would write it in code.

    >>> spelled(int), spelled(list[int]), spelled(typing.Optional[float])
    ('int', 'list[int]', 'float | None')
    """
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join(spelled(choice) for choice in typing.get_args(annotation))
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__.rpartition(".")[2]
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
