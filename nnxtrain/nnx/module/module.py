"""Objects whose attributes form the graph, and Module, the base class of layers and models."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np

from nnxtrain.nnx import trace
from nnxtrain.nnx.errors import TraceError
from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.leaves import is_array as is_array
from nnxtrain.nnx.graph.pytree import register_object
from nnxtrain.nnx.graph.static import static_equal
from nnxtrain.nnx.variable.values import normalise
from nnxtrain.nnx.variable.variable import Epoch, Perturbation, Variable

if TYPE_CHECKING:
    from nnxtrain.nnx.graph.structure import Structure

ABSENT = object()


class _InitSignature:
    """The signature of a class is that of its ``__init__`` (``inspect`` would show that of ``__new__``)."""

    def __get__(self, obj: Any, owner: type) -> inspect.Signature:
        if obj is not None:
            raise AttributeError("__signature__")  # of an instance: that of its __call__
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Object:
    """A Python object whose attributes are nodes of a graph: other Objects, Variables, arrays, static values.

    ``_version`` counts the writes that changed the structure; a write of a Variable's or an array attribute's
    value, and a write of what is there already, do not count. Plain lists and dicts become tracked ones. A number
    that is written over an array becomes an array. What ``functools.cached_property`` keeps is no part of the graph.

    A subclass is a JAX pytree, unless it says ``class Name(nnx.Object, pytree=False)``.
    """

    __slots__ = ("__weakref__", "_joint", "_link", "_structure", "_trace", "_version")

    _version: int
    _trace: Any
    _structure: Structure | None  # the cached structure of this object's graph
    _joint: Any  # cached structures of argument tuples that this object is the first of
    _link: Object | None  # an object outside of this one's graph (an optimizer's model)
    _derived: ClassVar[frozenset[str]] = frozenset()  # the names of cached properties
    _declared: ClassVar[dict[str, bool]] = {}  # name -> is static, as nnx.data and nnx.static say

    __signature__ = _InitSignature()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return new_object(cls)

    def __init_subclass__(cls, *, pytree: bool = True, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if pytree:
            register_object(cls)
        own = vars(cls).items()
        derived = {name for name, value in own if isinstance(value, functools.cached_property)}
        cls._derived = (cls._derived - set(vars(cls))) | derived
        declared = {
            name: value.metadata["static"]
            for name, value in own
            if isinstance(value, dataclasses.Field) and "static" in value.metadata
        }
        cls._declared = {**cls._declared, **declared}

    # -- what a graph needs to know of a container ----------------------------------------------------------------
    def _graph_items(self) -> Iterator[tuple[Any, Any]]:
        if self._derived:
            return ((k, v) for k, v in self.__dict__.items() if k not in self._derived)
        return iter(self.__dict__.items())

    def _graph_get(self, key: Any) -> Any:
        return self.__dict__.get(key, ABSENT)

    def _graph_put(self, key: Any, value: Any) -> None:
        self.__dict__[key] = value

    def _graph_assign(self, items: list[tuple[Any, Any]]) -> None:
        self.__dict__.clear()
        self.__dict__.update(items)

    # -- attribute writes --------------------------------------------------------------------------------------------
    def _write(self, key: Any, value: Any) -> None:
        """Put a value under a key, and count the write if it changes the structure."""
        if key in self._declared:
            value = self._as_declared(key, value)
        value = tracked(value)
        old = self._graph_get(key)
        if old is value:
            return
        if isinstance(value, _NUMBERS) and is_array(old):
            value = normalise(value)
        self._check_write(key)
        self._graph_put(key, value)
        if not (is_array(old) and is_array(value)) and not _same_static(old, value):
            self._count_change()

    def _as_declared(self, key: Any, value: Any) -> Any:
        from nnxtrain.nnx.module.annotate import as_data, as_static

        try:
            return as_static(value) if self._declared[key] else as_data(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{type(self).__name__}.{key}: {error}") from None

    def _count_change(self) -> None:
        _set(self, "_version", self._version + 1)
        Epoch.structure = object()

    def _check_write(self, key: Any) -> None:
        if (
            self._trace is trace.EAGER
            and trace.thread.level is None
            and trace.current_trace() is trace.EAGER
        ):
            return
        if self._trace != trace.current_trace():
            raise TraceError(trace.foreign_object_message(type(self).__name__, str(key)))

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(getattr(type(self), name, None), "__set__"):  # a slot, or a property's setter
            object.__setattr__(self, name, value)
        else:
            self._write(name, value)

    def __delattr__(self, name: str) -> None:
        if name not in self.__dict__:
            object.__delattr__(self, name)  # a property's deleter, or an AttributeError
            return
        self._check_write(name)
        del self.__dict__[name]
        self._count_change()

    def __getstate__(self) -> tuple[list[tuple[Any, Any]], Object | None]:
        return list(self._graph_items()), self._link

    def __setstate__(self, state: tuple[list[tuple[Any, Any]], Object | None]) -> None:
        items, link = state
        self._graph_assign(items)
        _set(self, "_link", link)

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        from nnxtrain.nnx.inspection.notebook import render

        return render(self, path, subtree_renderer)

    def __repr__(self) -> str:
        from nnxtrain.nnx.inspection.display import format_object

        return format_object(self)


_set = object.__setattr__


def new_object(cls: type) -> Any:
    """Make an empty Object of a class, without ``__init__``."""
    obj: Any = object.__new__(cls)
    _set(obj, "_version", 0)
    _set(obj, "_trace", trace.current_trace())
    _set(obj, "_structure", None)
    _set(obj, "_joint", None)
    _set(obj, "_link", None)
    return obj


_NUMBERS = (bool, int, float, complex, np.generic)


def _same_static(old: Any, new: Any) -> bool:
    return not isinstance(new, Object | Variable) and old is not ABSENT and static_equal(old, new)


def tracked(value: Any) -> Any:
    """Turn plain lists and dicts (also inside tuples) into tracked containers."""
    kind = type(value)
    if kind is list:
        from nnxtrain.nnx.module.containers import List

        return List(value)
    if kind is dict:
        from nnxtrain.nnx.module.containers import Dict

        return Dict(value)
    if kind is tuple and any(type(v) in (list, dict, tuple) for v in value):
        return tuple(map(tracked, value))
    return value


register_object(Object)
Pytree = Object  # there is one base class; all objects are pytrees


class Module(Object):
    """Base class of layers and models: a Python object with its parameters as attributes.

    >>> from nnxtrain import nnx
    >>> import jax.numpy as jnp
    >>> class Affine(nnx.Module):
    ...     def __init__(self, features, *, rngs):
    ...         self.linear = nnx.Linear(features, features, rngs=rngs)
    ...     def __call__(self, x):
    ...         return self.linear(x)
    >>> Affine(3, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape
    (2, 3)
    """

    def iter_modules(self) -> Iterator[tuple[tuple, Module]]:
        """Yield (path, module) for this module and all below it, each once, children first."""
        from nnxtrain.nnx.graph.traverse import iter_modules

        return iter_modules(self)

    def iter_children(self) -> Iterator[tuple[Any, Any]]:
        """Yield (name, child) for the objects and Variables that are attributes of this module."""
        from nnxtrain.nnx.graph.traverse import iter_children

        return iter_children(self)

    def set_attributes(
        self,
        *filters: Any,
        raise_if_not_found: bool = True,
        graph: bool | None = None,
        **attributes: Any,
    ) -> None:
        """Set attributes on every module below (and this one) that has them already.

        Args:
          *filters: which modules (default all): types or predicates ``(path, module) -> bool``.
          raise_if_not_found: raise a ValueError when an attribute is found nowhere.
          graph: False makes shared references an error.
          **attributes: the attributes and their new values.

        >>> from nnxtrain import nnx
        >>> model = nnx.Sequential(nnx.Dropout(0.1), nnx.Dropout(0.2))
        >>> model.set_attributes(nnx.Dropout, deterministic=True)
        >>> [layer.deterministic for layer in model.layers]
        [True, True]
        """
        from nnxtrain.nnx.graph.traverse import iter_modules

        predicate = to_predicate(list(filters) if filters else ...)
        missing = set(attributes)
        for path, module in list(iter_modules(self, graph=graph)):
            if predicate(path, module):
                for name, value in attributes.items():
                    if hasattr(module, name):
                        missing.discard(name)
                        setattr(module, name, value)
        if missing and raise_if_not_found:
            raise ValueError(
                f"no module of {type(self).__name__} has the attribute(s) {', '.join(sorted(missing))}"
            )

    def train(self, **attributes: Any) -> None:
        """Set all layers to training: ``deterministic=False``, ``use_running_average=False``."""
        self.set_attributes(
            deterministic=False, use_running_average=False, **attributes, raise_if_not_found=False
        )

    def eval(self, **attributes: Any) -> None:
        """Set all layers to evaluation: ``deterministic=True``, ``use_running_average=True``."""
        self.set_attributes(
            deterministic=True, use_running_average=True, **attributes, raise_if_not_found=False
        )

    def sow(
        self,
        variable_type: type[Variable] | str,
        name: str,
        value: Any,
        reduce_fn: Callable[[Any, Any], Any] = lambda past, new: (*past, new),
        init_fn: Callable[[], Any] = lambda: (),
    ) -> bool:
        """Store an intermediate value under ``self.name``; calls add up by ``reduce_fn`` (default: a tuple of all).

        Inside ``nnx.capture`` the value goes there, and the module stays as it is.

        Returns:
          True if the value was stored (a capture of other kinds drops it). ``nnx.pop(model, variable_type)`` takes
          stored values out of the model.

        Raises:
          ValueError: the attribute holds something else.
        """
        variable_type = _kind(variable_type)
        captures = self.__dict__.get(CAPTURES)
        if captures is not None:
            box = captures.of(variable_type)
            if box is not None:
                held = box.get_raw_value()
                past = held[name] if name in held else init_fn()
                box.set_raw_value({**held, name: reduce_fn(past, value)})
            return box is not None
        held = getattr(self, name, None)
        if held is None:
            setattr(self, name, variable_type(reduce_fn(init_fn(), value)))
        elif isinstance(held, variable_type):
            held.value = reduce_fn(held.value, value)
        else:
            raise ValueError(
                f"{type(self).__name__}.{name} is a {type(held).__name__}, so no {variable_type.__name__} can be sown there"
            )
        return True

    def perturb(
        self, name: str, value: Any, variable_type: type[Variable] | str = Perturbation
    ) -> Any:
        """Return ``value`` plus a zero Variable under ``self.name``, whose gradient is that of the value.

        Inside ``nnx.capture`` the zero is kept there; without that kind among the captured ones ``value`` is returned.

        Raises:
          ValueError: the attribute holds something else.
        """
        variable_type = _kind(variable_type)
        captures = self.__dict__.get(CAPTURES)
        if captures is not None:
            box = captures.of(variable_type)
            if box is None:
                return value
            if name not in box.get_raw_value():
                zero = jax.tree.map(jax.numpy.zeros_like, value)
                box.set_raw_value({**box.get_raw_value(), name: zero})
            return jax.tree.map(jax.numpy.add, value, box.get_raw_value()[name])
        if getattr(self, name, None) is None:
            setattr(self, name, variable_type(jax.tree.map(jax.numpy.zeros_like, value)))
        held = getattr(self, name)
        if not isinstance(held, variable_type):
            raise ValueError(
                f"{type(self).__name__}.{name} is a {type(held).__name__}, and no {variable_type.__name__}"
            )
        return jax.tree.map(jax.numpy.add, value, held.value)


CAPTURES = "__captures__"  # the attribute that holds what nnx.capture captures in a module


def _kind(variable_type: type[Variable] | str) -> type[Variable]:
    from nnxtrain.nnx.variable.names import variable_type_from_name

    if isinstance(variable_type, str):
        return variable_type_from_name(variable_type, allow_register=True)
    return variable_type
