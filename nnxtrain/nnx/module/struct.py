"""``nnx.struct.dataclass``: immutable dataclasses that are JAX pytrees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, dataclass_transform, overload

import jax

from nnxtrain.nnx.graph.static import Static

T = TypeVar("T")


def field(
    pytree_node: bool = True, *, metadata: dict[str, Any] | None = None, **kwargs: Any
) -> Any:
    """A field of a dataclass; ``pytree_node=False`` makes it static. Other arguments as for ``dataclasses.field``."""
    return dataclasses.field(metadata={**(metadata or {}), "pytree_node": pytree_node}, **kwargs)


@overload
def dataclass(clz: type[T], /, **kwargs: Any) -> type[T]: ...
@overload
def dataclass(clz: None = None, /, **kwargs: Any) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def dataclass(clz: Any = None, /, **kwargs: Any) -> Any:
    """Make a class a frozen dataclass that is a pytree, with a method ``replace(**updates)`` that returns a copy.

    Its fields are the children, but those made with ``struct.field(pytree_node=False)`` are static: functions compiled
    for one value of theirs are compiled again for another, and values are compared with their types (1 is not True).

    Args:
      **kwargs: as for ``dataclasses.dataclass`` (``kw_only=True``); ``frozen`` is True.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> @nnx.struct.dataclass
    ... class Line:
    ...     slope: jax.Array
    ...     name: str = nnx.struct.field(pytree_node=False, default="line")
    >>> line = Line(jnp.array(2.0))
    >>> steeper = jax.tree.map(lambda x: 2 * x, line).replace(name="steeper")
    >>> float(steeper.slope), steeper.name, float(jax.grad(lambda l: l.slope**2)(line).slope)
    (4.0, 'steeper', 4.0)
    """
    if clz is None:
        return partial(dataclass, **kwargs)
    if clz.__dict__.get("__struct_dataclass__", False):
        return clz
    cls = dataclasses.dataclass(**{"frozen": True, **kwargs})(clz)
    fields = dataclasses.fields(cls)
    data = tuple(f.name for f in fields if f.metadata.get("pytree_node", True))
    static = tuple(f.name for f in fields if f.name not in data)
    if "replace" not in cls.__dict__:
        cls.replace = _replace
    cls.__struct_dataclass__ = True
    _register(cls, data, static)
    return cls


def _replace(self: Any, **updates: Any) -> Any:
    """Return a copy with other values in the named fields."""
    return dataclasses.replace(self, **updates)


def _register(cls: type, data: tuple[str, ...], static: tuple[str, ...]) -> None:
    keys = tuple(map(jax.tree_util.GetAttrKey, data))

    def statics(obj: Any) -> tuple[Static, ...]:
        return tuple(Static(getattr(obj, name)) for name in static)

    def flatten(obj: Any) -> tuple[tuple[Any, ...], tuple[Static, ...]]:
        return tuple(getattr(obj, name) for name in data), statics(obj)

    def flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Static, ...]]:
        return [(key, getattr(obj, key.name)) for key in keys], statics(obj)

    def unflatten(statics: tuple[Static, ...], children: Iterable[Any]) -> Any:
        obj: Any = object.__new__(
            cls
        )  # not through __init__: JAX fills trees with what no __post_init__ expects
        for name, value in zip(data, children):
            object.__setattr__(obj, name, value)
        for name, held in zip(static, statics):
            object.__setattr__(obj, name, held.value)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class PyTreeNode:
    """Base class whose subclasses are made by :func:`dataclass` (class keywords are its arguments).

    >>> class Point(PyTreeNode, kw_only=True):
    ...     x: float
    >>> Point(x=1.0).replace(x=2.0)
    Point(x=2.0)
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__()
        dataclass(cls, **kwargs)

    def replace(self: T, **updates: Any) -> T:
        """Return a copy with other values in the named fields."""
        return dataclasses.replace(self, **updates)  # type: ignore[type-var]
