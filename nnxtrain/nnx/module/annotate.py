"""``nnx.data`` and ``nnx.static``: say whether an attribute is data (traced, part of a state) or static (compiled in).

Without them an attribute is data if it holds an array, a Variable or an object, and static otherwise. That fits
nearly always: use ``nnx.data`` for a number that shall change without a compile.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from nnxtrain.nnx.graph.leaves import is_array
from nnxtrain.nnx.graph.structure import holds_data
from nnxtrain.nnx.module.module import Object, tracked
from nnxtrain.nnx.variable.missing import MISSING, MissingType
from nnxtrain.nnx.variable.values import normalise
from nnxtrain.nnx.variable.variable import Variable


def data(value: Any = MISSING, /, **kwargs: Any) -> Any:
    """Make a value data: numbers (also inside tuples and other pytrees) become arrays, lists and dicts tracked containers.

    Without a value it declares an attribute of a class, as ``dataclasses.field(**kwargs)`` does; what is assigned
    to the attribute is then made data.

    Raises:
      TypeError: the value holds something that is no number and no array.

    >>> import jax
    >>> from nnxtrain import nnx
    >>> class Counter(nnx.Pytree):
    ...     def __init__(self, step, name):
    ...         self.step = nnx.data(step)
    ...         self.name = name
    >>> counter = Counter(3, "steps")
    >>> counter.step = 4  # an array stays an array
    >>> [int(x) for x in jax.tree.leaves(counter)]
    [4]
    """
    if not isinstance(value, MissingType):
        if kwargs:
            raise TypeError(
                "nnx.data takes a value, or the keywords of a dataclass field, not both"
            )
        return as_data(value)
    return _field(kwargs, static=False)


def static(value: Any = MISSING, /, **kwargs: Any) -> Any:
    """Make sure that a value is static. Without a value it declares an attribute, as :func:`data` does.

    Raises:
      ValueError: the value holds arrays, Variables or objects.

    >>> from nnxtrain import nnx
    >>> nnx.static("relu")
    'relu'
    """
    if not isinstance(value, MissingType):
        if kwargs:
            raise TypeError(
                "nnx.static takes a value, or the keywords of a dataclass field, not both"
            )
        return as_static(value)
    return _field(kwargs, static=True)


def is_data(value: Any, /) -> bool:
    """True for arrays, Variables, objects (modules, Rngs, ...) and instances of registered data types.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> nnx.is_data(jnp.ones(2)), nnx.is_data(nnx.Param(1.0)), nnx.is_data(42), nnx.is_data([jnp.ones(2)])
    (True, True, False, False)
    """
    return isinstance(value, Object | Variable) or is_array(value)


def as_data(value: Any) -> Any:
    """The value, or what stands for it as data."""
    if is_data(value):
        return value
    if type(value) in (list, dict):
        return tracked(value)
    return jax.tree.map(_leaf, value, is_leaf=is_data)


def _leaf(value: Any) -> Any:
    leaf = value if is_data(value) else normalise(value)
    if not is_data(leaf):
        raise TypeError(
            f"a {type(value).__name__} is no data: it is neither a number nor an array. Register its class with "
            "nnx.register_data_type, or leave the attribute static"
        )
    return leaf


def as_static(value: Any) -> Any:
    """The value, if it holds no data."""
    if holds_data(value):
        raise ValueError(
            f"a {type(value).__name__} that holds arrays, Variables or objects cannot be static; "
            "leave nnx.static out, and it is data"
        )
    return value


def _field(kwargs: dict[str, Any], *, static: bool) -> Any:
    metadata = dict(kwargs.pop("metadata", None) or {})
    if "static" in metadata:
        raise ValueError(
            "the key 'static' of a field's metadata belongs to nnx.data and nnx.static"
        )
    return dataclasses.field(**kwargs, metadata={**metadata, "static": static})
