"""Where a Variable lives: the JAX trace and the nnx transform under which it was made.

JAX values belong to a trace. A Variable that is written under another trace than its own would keep a
dead tracer, and one that is read inside a compiled function without being an argument of it becomes a
constant there. Both are noticed here; jit, grad and the other transforms open a :class:`Level` while
they run the user's function.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jax.extend.core import get_opaque_trace_state

from nnxtrain.nnx.errors import TraceError

if TYPE_CHECKING:
    from nnxtrain.nnx.variable.variable import Variable

EAGER = get_opaque_trace_state(convention="flax")


def current_trace() -> Any:
    """Return a token of the current JAX trace; ``EAGER`` itself outside of every trace."""
    state = get_opaque_trace_state(convention="flax")
    return EAGER if state == EAGER else state


class Level:
    """One run of a user's function by a transform. ``compiled``: what it reads from outside is baked in."""

    __slots__ = ("compiled", "fun", "parent", "transform", "warned")

    def __init__(self, transform: str, fun: Callable, compiled: bool, parent: Level | None):
        self.transform = transform
        self.fun = fun
        self.compiled = compiled
        self.parent = parent
        self.warned = False


class _Thread(threading.local):
    level: Level | None = None


thread = _Thread()  # JAX traces one function at a time in each thread


@contextmanager
def level(transform: str, fun: Callable, *, compiled: bool = False) -> Iterator[Level]:
    """Open a level for the time in which ``transform`` runs ``fun``."""
    opened = Level(transform, fun, compiled, thread.level)
    thread.level = opened
    try:
        yield opened
    finally:
        thread.level = opened.parent


def check_read(variable: Variable) -> None:
    """Warn once where a compiled function reads a Variable that is not among its arguments."""
    crossed: Level | None = None
    here = thread.level
    while here is not None and here is not variable._level:
        if here.compiled:
            crossed = here
        here = here.parent
    if crossed is None or crossed.warned or variable._trace == current_trace():
        return
    crossed.warned = True
    name = name_of(variable, crossed.fun)
    warnings.warn(
        f"{crossed.transform}({_function_name(crossed.fun)}) reads {name}, which is not an argument: "
        "its present value is baked into the compiled function as a constant. Pass the object that holds it.",
        stacklevel=4,
    )


def check_write(variable: Variable) -> None:
    """Raise a TraceError where the Variable belongs to another trace than the current one."""
    if variable._trace is EAGER and thread.level is None and current_trace() is EAGER:
        return
    if variable._trace != current_trace():
        here = thread.level
        name = name_of(variable, here.fun if here else None)
        raise TraceError(_write_message(name, by_jax=here is variable._level))


def foreign_object_message(kind: str, name: str) -> str:
    """Message for an attribute write on an object of another trace."""
    return _write_message(f"{kind}.{name}")


def _write_message(name: str, by_jax: bool = False) -> str:
    """Say what to do. ``by_jax``: no transform of nnx lies between the object and the write."""
    here = thread.level
    by_jax = by_jax or here is None
    where = "a JAX transform" if here is None or by_jax else here.transform
    return (
        f"{name} was made outside of {where} and is written inside it, so the new value could not get out. "
        f"Pass the object that holds it as an argument of the transformed function"
        + (", and use the transform of nnx instead of JAX's." if by_jax else ".")
    )


def name_of(variable: Variable, fun: Callable | None) -> str:
    """The name under which ``fun`` sees the Variable ("model.norm.mean"), else its type and last known path."""
    from nnxtrain.nnx.graph.structure import iter_graph
    from nnxtrain.nnx.module.module import Object

    if fun is not None:
        try:
            seen = inspect.getclosurevars(fun)
            names = {**seen.globals, **seen.nonlocals}
        except (TypeError, ValueError):
            names = {}
        for name, value in names.items():
            if value is variable:
                return f"{name} ({type(variable).__name__})"
            if isinstance(value, Object):
                for below, node in iter_graph(value):
                    if node is variable:
                        return f"{'.'.join([name, *map(str, below)])} ({type(variable).__name__})"
    path = variable._path or ()
    kind = type(variable).__name__
    return (
        f"{'.'.join(map(str, path))} ({kind})"
        if path
        else f"a {kind} of shape {getattr(variable._value, 'shape', '?')}"
    )


def _function_name(fun: Callable) -> str:
    return getattr(fun, "__qualname__", None) or repr(fun)
