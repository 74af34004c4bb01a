"""Filters: which Variables an operation means. A filter is a predicate ``(path, value) -> bool`` or a short form of one.

Short forms: a Variable type, a string (a tag), ``...`` or True (everything), None or False (nothing), a list or tuple
(any of them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Path = tuple[Any, ...]
Predicate = Callable[[Path, Any], bool]


class _Filter:
    """Base of the filters: they compare and print by their parts, so that they may be static values."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(vars(self).items(), key=lambda item: item[0]))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class Everything(_Filter):
    """Matches everything."""

    def __call__(self, path: Path, value: Any) -> bool:
        return True


class Nothing(_Filter):
    """Matches nothing."""

    def __call__(self, path: Path, value: Any) -> bool:
        return False


class OfType(_Filter):
    """Matches values of a type (Variables by their kind)."""

    def __init__(self, type: type):
        self.type = type

    def __call__(self, path: Path, value: Any) -> bool:
        return isinstance(value, self.type)


class WithTag(_Filter):
    """Matches Variables whose ``tag`` metadata is the given one, and objects (random streams) with such an attribute."""

    def __init__(self, tag: str):
        self.tag = tag

    def __call__(self, path: Path, value: Any) -> bool:
        metadata = getattr(value, "_metadata", None)
        if metadata is None:
            metadata = getattr(value, "__dict__", {})
        return isinstance(metadata, Mapping) and metadata.get("tag") == self.tag


class PathContains(_Filter):
    """Matches paths that have ``key`` as one part (``exact=False``: as a piece of one part)."""

    def __init__(self, key: Any, exact: bool = True):
        self.key = key
        self.exact = exact

    def __call__(self, path: Path, value: Any) -> bool:
        return self.key in path if self.exact else any(str(self.key) in str(part) for part in path)


class AnyOf(_Filter):
    """Matches what any of the filters matches."""

    def __init__(self, *filters: Any):
        self.predicates = tuple(map(to_predicate, filters))

    def __call__(self, path: Path, value: Any) -> bool:
        return any(p(path, value) for p in self.predicates)


class All(_Filter):
    """Matches what all of the filters match."""

    def __init__(self, *filters: Any):
        self.predicates = tuple(map(to_predicate, filters))

    def __call__(self, path: Path, value: Any) -> bool:
        return all(p(path, value) for p in self.predicates)


class Not(_Filter):
    """Matches what the filter does not match."""

    def __init__(self, collection_filter: Any, /):
        self.predicate = to_predicate(collection_filter)

    def __call__(self, path: Path, value: Any) -> bool:
        return not self.predicate(path, value)


def to_predicate(filter: Any) -> Predicate:
    """Turn a filter's short form into a predicate.

    >>> from nnxtrain.nnx.variable.variable import Param, BatchStat
    >>> to_predicate((Param, "dropout"))(("kernel",), Param(1.0))
    True
    """
    if filter is ... or filter is True:
        return Everything()
    if filter is None or filter is False:
        return Nothing()
    if isinstance(filter, str):
        return WithTag(filter)
    if isinstance(filter, type):
        return OfType(filter)
    if isinstance(filter, Sequence):
        return AnyOf(*filter)
    if callable(filter):
        return filter
    raise TypeError(
        f"{filter!r} is no filter; give a Variable type, a tag, ..., None, a list of filters, "
        "or a function (path, value) -> bool"
    )


def _takes_all(filter: Any) -> bool:
    return filter is ... or filter is True


def split_by(
    items: Sequence[tuple[Path, Any]], filters: Sequence[Any], *, exhaustive: bool
) -> list[list[tuple[Path, Any]]]:
    """Sort ``items`` into one list for each filter; the first filter that matches takes the item.

    Raises:
      ValueError: ``...`` stands before another filter, or (if exhaustive) an item is matched by none.
    """
    for early, filter in enumerate(filters):
        if _takes_all(filter) and not all(map(_takes_all, filters[early:])):
            raise ValueError(
                f"`...` may only stand last, but it is filter {early + 1} of {len(filters)}"
            )
    predicates = [to_predicate(f) for f in filters]
    groups: list[list[tuple[Path, Any]]] = [[] for _ in predicates]
    for path, value in items:
        for group, predicate in zip(groups, predicates):
            if predicate(path, value):
                group.append((path, value))
                break
        else:
            if exhaustive:
                raise ValueError(
                    f"no filter takes {'.'.join(map(str, path))} ({type(value).__name__}); add `...` as the last filter"
                )
    return groups
