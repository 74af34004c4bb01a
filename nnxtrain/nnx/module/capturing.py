"""``nnx.capture``: run a model and get the values that its modules sow, without leaving anything in the model."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from nnxtrain.nnx.graph.filters import OfType
from nnxtrain.nnx.graph.graphdef import Path
from nnxtrain.nnx.graph.state import State, from_flat_state, split_state, to_flat_state
from nnxtrain.nnx.graph.traverse import iter_modules
from nnxtrain.nnx.module.containers import Dict, List
from nnxtrain.nnx.module.module import CAPTURES, Module, Object
from nnxtrain.nnx.transforms.callables import unbind
from nnxtrain.nnx.variable.variable import Variable


class Captures(Object):
    """What one module sows during a capture: for each kind a Variable that holds a dict of values by name.

    A dict in one Variable, because new names then change a value and not the structure: they travel through transforms.
    """

    def __init__(self, held: dict[type[Variable], dict[str, Any]], outputs: type | None):
        self.kinds = tuple(held)
        self.held = tuple(kind(values) for kind, values in held.items())
        self.outputs = outputs

    def of(self, kind: type[Variable]) -> Variable | None:
        """The Variable of exactly this kind, or None if it is not captured."""
        return self.held[self.kinds.index(kind)] if kind in self.kinds else None


def capture(
    fn: Any,
    *var_types: type[Variable],
    init: Mapping | None = None,
    method_outputs: type[Variable] | None = None,
) -> Any:
    """Let a function of a module return ``(result, *states)``: what was sown or perturbed, a State for each kind.

    Args:
      fn: a function whose first argument is the module, a bound method, or a module; or a kind, for use as a decorator.
      *var_types: the kinds to capture. What a module sows in another kind meanwhile is dropped.
      init: a State of values to start from, such as perturbations (their kinds are not returned).
      method_outputs: sow the result of each public method of each module, too, under the method's name, in this kind.

    Raises:
      TypeError: the first argument is no module.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> class Square(nnx.Module):
    ...     def __call__(self, x):
    ...         self.sow(nnx.Intermediate, "seen", x)
    ...         return self.perturb("grad", x) ** 2
    >>> model = Square()
    >>> y, seen = nnx.capture(model, nnx.Intermediate)(jnp.array(3.0))
    >>> float(y), [float(x) for x in seen.seen.value]
    (9.0, [3.0])

    The gradient with respect to an intermediate value is that of a perturbation:

    >>> _, zeros = nnx.capture(model, nnx.Perturbation)(jnp.array(3.0))
    >>> run = lambda model, zeros, x: nnx.capture(model, nnx.Intermediate, init=zeros)(x)
    >>> grads, seen = nnx.grad(run, argnums=1, has_aux=True)(model, zeros, jnp.array(3.0))
    >>> float(grads.grad.value)
    6.0
    """
    if isinstance(fn, type) and issubclass(fn, Variable):
        kinds = (fn, *var_types)
        return lambda fn: capture(fn, *kinds, init=init, method_outputs=method_outputs)
    if method_outputs is not None and method_outputs not in var_types:
        var_types = (*var_types, method_outputs)
    fun, bound = unbind(fn)

    @wraps(fun)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        args = (*bound, *args)
        if not args or not isinstance(args[0], Module):
            kind = type(args[0]).__name__ if args else "nothing"
            raise TypeError(
                f"nnx.capture: the function's first argument must be the module; it got {kind}"
            )
        modules = [(path, m) for path, m in iter_modules(args[0]) if not isinstance(m, List | Dict)]
        start = _by_module(init)
        with ExitStack() as stack:
            if method_outputs is not None:
                stack.enter_context(_recording({type(m) for _, m in modules}))
            for path, module in modules:
                held: dict[type, dict[str, Any]] = {kind: {} for kind in var_types}
                for name, variable in start.get(path, ()):
                    held.setdefault(type(variable), {})[name] = variable.get_value()
                setattr(module, CAPTURES, Captures(held, method_outputs))
                stack.callback(delattr, module, CAPTURES)
            # A module's own method is looked up only now, as the recording one.
            result = (fun if not bound else unbind(fn)[0])(*args, **kwargs)
            captured = _collected(modules, var_types)
        if not var_types:
            return result
        states = split_state(captured, *map(OfExactType, var_types))
        return (result, states) if len(var_types) == 1 else (result, *states)

    return wrapper


class OfExactType(OfType):
    """Matches Variables of a kind, and not those of its subclasses."""

    def __call__(self, path: Path, value: Any) -> bool:
        return type(value) is self.type


def _by_module(init: Mapping | None) -> dict[Path, list[tuple[str, Variable]]]:
    found: dict[Path, list[tuple[str, Variable]]] = {}
    for path, variable in to_flat_state(init or {}):
        if isinstance(variable, Variable):
            found.setdefault(path[:-1], []).append((path[-1], variable))
    return found


def _collected(modules: list[tuple[Path, Module]], kinds: tuple[type[Variable], ...]) -> State:
    flat = []
    for path, module in modules:
        for variable in getattr(module, CAPTURES).held:
            if type(variable) in kinds:
                values = variable.get_raw_value().items()
                flat += [((*path, name), type(variable)(value)) for name, value in values]
    return from_flat_state(flat)


_installing = threading.Lock()


@contextmanager
def _recording(classes: set[type]) -> Iterator[None]:
    """Let the public methods of classes sow their results, in modules that are being captured so.

    Captures may overlap (in several threads, or one in another): the last one to end puts the methods back.
    """
    with _installing:
        methods = {cls: _public_methods(cls) for cls in classes}  # before any is replaced
        for cls in classes:
            if _USERS not in vars(cls):
                setattr(cls, _USERS, [0, {name: vars(cls).get(name) for name in methods[cls]}])
                for name, method in methods[cls].items():
                    setattr(cls, name, _recorder(name, method))
            vars(cls)[_USERS][0] += 1
    try:
        yield
    finally:
        with _installing:
            for cls in classes:
                users = vars(cls)[_USERS]
                users[0] -= 1
                if users[0] == 0:
                    _put_back(cls, users[1])


_USERS = "__capture_users__"  # how many captures record a class's methods, and what was in its own __dict__ before


def _public_methods(cls: type) -> dict[str, Callable]:
    """The methods to record, those of base classes too, but not those that every Module has."""
    found = {}
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        inherited = inspect.getattr_static(Module, name, None) is method
        public = name == "__call__" or not name.startswith("_")
        if public and inspect.isfunction(method) and not inherited:
            found[name] = getattr(method, "recorded", method)
    return found


def _put_back(cls: type, own: dict[str, Any]) -> None:
    for name, method in own.items():
        if method is None:
            delattr(cls, name)
        else:
            setattr(cls, name, method)
    delattr(cls, _USERS)


def _recorder(name: str, method: Callable) -> Callable:
    @wraps(method)
    def recorder(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        captures = vars(self).get(CAPTURES)
        if captures is not None and captures.outputs is not None:
            self.sow(captures.outputs, name, result)
        return result

    recorder.recorded = method  # type: ignore[attr-defined]
    return recorder
