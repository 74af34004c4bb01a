"""Copies of a model with other static attributes and the very same Variables: one for training, one for evaluation."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.traverse import recursive_map
from nnxtrain.nnx.module.module import Module, Object

T = TypeVar("T")


def view(
    node: T,
    /,
    *,
    only: Any = ...,
    raise_if_not_found: bool = True,
    graph: bool | None = None,
    **kwargs: Any,
) -> T:
    """Return a copy that shares the Variables, in which the modules' ``set_view`` methods took ``**kwargs``.

    Each ``set_view`` is given those of the arguments that its signature names.

    Args:
      node: the model.
      only: a filter: which modules.
      raise_if_not_found: raise where an argument was taken by no module.
      graph: False makes shared references an error.
      **kwargs: for example ``deterministic=True, use_running_average=True``.

    Raises:
      ValueError: no ``set_view`` takes one of the arguments.

    >>> from nnxtrain import nnx
    >>> class Noise(nnx.Module):
    ...     def __init__(self):
    ...         self.scale = nnx.Param(1.0)
    ...         self.quiet = False
    ...     def set_view(self, quiet=None):
    ...         self.quiet = self.quiet if quiet is None else quiet
    >>> model = Noise()
    >>> evaluated = nnx.view(model, quiet=True)
    >>> evaluated.quiet, model.quiet, evaluated.scale is model.scale
    (True, False, True)
    """
    predicate = to_predicate(only)
    unused = set(kwargs)

    def set_view(path: tuple, value: Any) -> Any:
        if (
            isinstance(value, Object)
            and hasattr(type(value), "set_view")
            and predicate(path, value)
        ):
            take: Any = value.set_view  # type: ignore[attr-defined]
            parameters = inspect.signature(take).parameters
            takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            taken = {k: v for k, v in kwargs.items() if takes_all or k in parameters}
            take(**taken)
            unused.difference_update(taken)
        return value

    result = recursive_map(set_view, node, graph=graph)
    if unused and raise_if_not_found:
        raise ValueError(
            f"nnx.view: no set_view of {type(node).__name__}'s modules takes {', '.join(sorted(unused))}"
        )
    return result


def with_attributes(
    node: T,
    /,
    *,
    only: Any = ...,
    raise_if_not_found: bool = True,
    graph: bool | None = None,
    **attributes: Any,
) -> T:
    """Return a copy that shares the Variables, with attributes set on the modules that have them already.

    Args:
      node: the model.
      only: a filter: which modules.
      raise_if_not_found: raise where no module has an attribute.
      graph: False makes shared references an error.
      **attributes: the attributes and their new values.

    Raises:
      ValueError: an attribute is found nowhere.

    >>> from nnxtrain import nnx
    >>> model = nnx.Sequential(nnx.Dropout(0.5))
    >>> evaluated = nnx.with_attributes(model, deterministic=True)
    >>> evaluated.layers[0].deterministic, model.layers[0].deterministic
    (True, False)
    """
    predicate = to_predicate(only)
    missing = set(attributes)

    def set_attributes(path: tuple, value: Any) -> Any:
        if isinstance(value, Module) and predicate(path, value):
            for name, new in attributes.items():
                if hasattr(value, name):
                    setattr(value, name, new)
                    missing.discard(name)
        return value

    result = recursive_map(set_attributes, node, graph=graph)
    if missing and raise_if_not_found:
        raise ValueError(
            f"no module of {type(node).__name__} has the attribute(s) {', '.join(sorted(missing))}"
        )
    return result
