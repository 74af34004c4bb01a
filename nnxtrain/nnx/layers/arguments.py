"""From the arguments of a layer to its parameters and attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import Param, Variable


def make_param(
    initializer: Callable[..., Any],
    rngs: Rngs,
    shape: Sequence[int],
    dtype: Any,
    metadata: Mapping[str, Any],
) -> Param:
    """Make a Param from ``initializer(key, shape, dtype)``, the key being the next of the stream ``params``."""
    return Param(initializer(rngs.params(), tuple(shape), dtype), **metadata)


def value_of(parameter: Any) -> Any:
    """The value of a layer's parameter: a Variable, None where it does without, or an array that was put in its place."""
    return parameter.value if isinstance(parameter, Variable) else parameter


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None: a function of the user's own need not know the others."""
    return {name: value for name, value in options.items() if value is not None}


def one_or_more(value: int | Sequence[int]) -> tuple[int, ...]:
    """A tuple of ints from one or several."""
    return (value,) if isinstance(value, int) else tuple(value)


def as_tuples(value: Any) -> Any:
    """Lists made tuples: a list in a module's attribute would be a node of its graph."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value
