"""What is a leaf of an object graph by itself: arrays, abstract arrays, and types that were registered as data."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T", bound=type)

_data_types: set[type] = set()


def is_array(value: Any) -> bool:
    """True for what is a leaf of the graph by itself."""
    return (
        isinstance(value, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
        or type(value) in _data_types
    )


def register_data_type(type_: T, /) -> T:
    """Let the instances of a class be data wherever they are assigned, as arrays are. Usable as a decorator.

    They are leaves of a state. To pass through compiled functions, they must be pytrees of arrays as well.

    >>> from nnxtrain import nnx
    >>> @nnx.register_data_type
    ... class Ticket:
    ...     pass
    >>> nnx.is_data(Ticket())
    True
    """
    _data_types.add(type_)
    return type_
