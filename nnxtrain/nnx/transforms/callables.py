"""What a transform was given to transform: a function, a method, an object, or a partial of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

from nnxtrain.nnx.module import Object


def unbind(fun: Any) -> tuple[Callable, tuple, dict]:
    """Split a callable into a plain function and the arguments it carries, so that objects among them are arguments.

    A bound method or a callable object carries its object; a ``functools.partial`` its arguments.

    Raises:
      TypeError: ``fun`` cannot be called.
    """
    if isinstance(fun, partial):
        inner, args, kwargs = unbind(fun.func)
        return inner, (*args, *fun.args), {**kwargs, **fun.keywords}
    if isinstance(fun, MethodType) and isinstance(fun.__self__, Object):
        inner, args, kwargs = unbind(fun.__func__)
        return inner, (*args, fun.__self__), kwargs
    if isinstance(fun, Object):
        if not callable(fun):
            raise TypeError(f"{type(fun).__name__} has no __call__; pass one of its methods")
        inner, args, kwargs = unbind(type(fun).__call__)
        return inner, (*args, fun), kwargs
    if not callable(fun):
        raise TypeError(f"a transform needs a function; it got a {type(fun).__name__}: {fun!r}")
    return fun, (), {}
