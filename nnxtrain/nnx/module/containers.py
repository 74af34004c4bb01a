"""Tracked containers: List and Dict behave as Python's, and are nodes of the graph. Sequential calls its layers in turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from typing import Any

from nnxtrain.nnx.module.module import ABSENT, Module, tracked


class List(Module, MutableSequence):
    """A list whose items are part of the graph. A plain list assigned to an attribute becomes one.

    >>> layers = List([1, 2]); layers.append(3); layers[0] = 5; list(layers), len(layers)
    ([5, 2, 3], 3)
    """

    __slots__ = ("_items",)
    _items: list[Any]

    def __init__(self, it: Iterable[Any] | None = None):
        object.__setattr__(self, "_items", [tracked(v) for v in it or ()])

    def _graph_items(self) -> Iterator[tuple[Any, Any]]:
        return enumerate(self._items)

    def _graph_get(self, key: Any) -> Any:
        return self._items[key]

    def _graph_put(self, key: Any, value: Any) -> None:
        self._items[key] = value

    def _graph_assign(self, items: list[tuple[Any, Any]]) -> None:
        object.__setattr__(self, "_items", [value for _, value in items])

    def _write(self, key: Any, value: Any) -> None:
        if isinstance(key, str):
            raise AttributeError(
                f"a List has items and no attributes; keep {key!r} in the module that holds the List"
            )
        super()._write(key, value)

    def _replace_all(self, items: list[Any]) -> None:
        self._check_write("[...]")
        object.__setattr__(self, "_items", items)
        self._count_change()

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            items = list(self._items)
            items[index] = [tracked(v) for v in value]
            self._replace_all(items)
        else:
            self._write(index, value)

    def __delitem__(self, index: Any) -> None:
        items = list(self._items)
        del items[index]
        self._replace_all(items)

    def insert(self, index: int, value: Any) -> None:
        items = list(self._items)
        items.insert(index, tracked(value))
        self._replace_all(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __add__(self, other: Iterable[Any]) -> List:
        return List([*self._items, *other])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, List | list):
            return self is other or list(self) == list(other)
        return NotImplemented

    __hash__ = object.__hash__


class Dict(Module, MutableMapping):
    """A dict whose values are part of the graph, in the order of insertion; string keys are attributes too.

    >>> d = Dict(a=1); d["b"] = 2; d.a, dict(d)
    (1, {'a': 1, 'b': 2})
    """

    __slots__ = ("_items",)
    _items: dict[Any, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        items = dict(*args, **kwargs)
        object.__setattr__(self, "_items", {k: tracked(v) for k, v in items.items()})

    def _graph_items(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._items.items())

    def _graph_get(self, key: Any) -> Any:
        return self._items.get(key, ABSENT)

    def _graph_put(self, key: Any, value: Any) -> None:
        self._items[key] = value

    def _graph_assign(self, items: list[tuple[Any, Any]]) -> None:
        object.__setattr__(self, "_items", dict(items))

    def __getitem__(self, key: Any) -> Any:
        return self._items[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(key, value)

    def __delitem__(self, key: Any) -> None:
        if key not in self._items:
            raise KeyError(key)
        self._check_write(key)
        del self._items[key]
        self._count_change()

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_items")[name]
        except (KeyError, AttributeError):
            raise AttributeError(f"Dict has no key {name!r}") from None

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dict | dict):
            return self is other or dict(self.items()) == dict(other.items())
        return NotImplemented

    __hash__ = object.__hash__


class Sequential(Module):
    """Call layers or functions one after the other; a tuple result becomes the next one's arguments, a dict its keywords.

    A layer that takes ``rngs`` is given the ``rngs`` of the call.
    """

    def __init__(self, *fns: Callable[..., Any]):
        self.layers = list(fns)

    def __call__(self, *args: Any, rngs: Any = None, **kwargs: Any) -> Any:
        output: Any = args if len(args) != 1 else args[0]  # what comes out if there are no layers
        for index, layer in enumerate(self.layers):
            if not callable(layer):
                raise TypeError(
                    f"Sequential.layers[{index}] is a {type(layer).__name__}, which cannot be called"
                )
            if index > 0:
                if isinstance(output, tuple):
                    args, kwargs = output, {}
                elif isinstance(output, dict):
                    args, kwargs = (), output
                else:
                    args, kwargs = (output,), {}
            if rngs is not None and _takes_rngs(layer):
                kwargs = {**kwargs, "rngs": rngs}
            output = layer(*args, **kwargs)
        return output


def _takes_rngs(layer: Callable) -> bool:
    try:
        return "rngs" in inspect.signature(layer).parameters
    except (TypeError, ValueError):
        return False
