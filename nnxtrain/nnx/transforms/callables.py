"""What a transform was given to transform: a function, a method, an object, or a partial of one."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, cast

from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.transforms import lift


class Transformed:
    """Base of what the transforms return. ``bound``: the objects that stand in front of the arguments of a call."""

    bound: tuple[Any, ...] = ()


def unbind(fun: Any) -> tuple[Callable, tuple]:
    """Split a callable into a function and the objects it is bound to, which that function takes in front.

    A bound method or a callable object is bound to its object, a ``functools.partial`` to the objects among its arguments
    (all else in a partial is fixed, as for JAX), a transformed function to what its own function is bound to.

    Raises:
      TypeError: ``fun`` cannot be called.
    """
    if isinstance(fun, partial):
        inner, bound = unbind(fun.func)
        args, keywords, objects = lift.detach(fun.args, fun.keywords)
        if not bound and not objects:
            return fun, ()
        return _Partial(fun, inner, len(bound), args, keywords), (*bound, *objects)
    if isinstance(fun, Transformed) and fun.bound:
        return _Unbound(fun), fun.bound
    if isinstance(fun, MethodType) and isinstance(fun.__self__, Object):
        inner, bound = unbind(fun.__func__)
        return inner, (*bound, fun.__self__)
    if isinstance(fun, Object):
        if not callable(fun):
            raise TypeError(f"{type(fun).__name__} has no __call__; pass one of its methods")
        inner, bound = unbind(type(fun).__call__)
        return inner, (*bound, fun)
    if not callable(fun):
        raise TypeError(f"a transform needs a function; it got a {type(fun).__name__}: {fun!r}")
    return fun, ()


class _Unbound:
    """A transformed function that takes in front the objects it was bound to."""

    def __init__(self, fun: Transformed):
        self.fun = copy.copy(fun)
        self.fun.bound = ()
        self.num_bound = len(fun.bound)
        functools.update_wrapper(cast(Any, self), cast(Any, fun), updated=())
        self.__signature__ = _with_objects(fun, self.num_bound)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fun: Any = copy.copy(self.fun)
        fun.bound = args[: self.num_bound]
        return fun(*args[self.num_bound :], **kwargs)


class _Partial:
    """A partial that takes its objects in front: those its function is bound to, then its own."""

    def __init__(self, fun: partial, inner: Callable, num_bound: int, args: tuple, keywords: dict):
        self.inner = inner
        self.num_bound = num_bound
        self.args = args
        self.keywords = keywords
        slots = {s.number for s in lift.slots_in((args, keywords))}
        self.num_objects = len(slots)
        self.__name__ = getattr(inner, "__name__", "partial")
        self.__qualname__ = getattr(inner, "__qualname__", "partial")
        self.__doc__ = getattr(inner, "__doc__", None)
        with contextlib.suppress(TypeError, ValueError):  # a builtin: nobody knows its parameters
            self.__signature__ = _with_objects(fun, num_bound + self.num_objects)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound, objects = args[: self.num_bound], args[self.num_bound :][: self.num_objects]
        rest = args[self.num_bound + self.num_objects :]
        keywords = {**lift.refill(self.keywords, objects), **kwargs}
        return self.inner(*bound, *lift.refill(self.args, objects), *rest, **keywords)


def _with_objects(fun: Any, number: int) -> inspect.Signature:
    """The signature of a call of ``fun`` with that many objects in front."""
    kind = inspect.Parameter.POSITIONAL_ONLY
    front = [inspect.Parameter(f"_object{i}", kind) for i in range(number)]
    return inspect.Signature([*front, *inspect.signature(fun).parameters.values()])
