"""Static values: what is compared, not traced. Equal means "compiles to the same program".

Python's ``==`` is not enough: ``1 == True``, ``0.0 == -0.0``, ``nan != nan``, and two ``functools.partial`` of the
same parts differ. :class:`Static` compares types too, looks into tuples, dicts and partials, and can always be hashed.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any


class Static:
    """A static value with the equality that compiled programs need.

    >>> Static(1) == Static(True), Static((1, "a")) == Static((1, "a"))
    (False, True)
    >>> from functools import partial
    >>> Static(partial(max, key=len)) == Static(partial(max, key=len))
    True
    """

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any):
        self.value = value
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = static_hash(self.value)
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Static)
            and hash(self) == hash(other)  # differs for one set that was changed in between
            and static_equal(self.value, other.value)
        )

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


def static_hash(value: Any) -> int:
    """Hash that agrees with :func:`static_equal`; values that cannot be hashed share their type's hash."""
    kind = type(value)
    if isinstance(value, tuple | list):
        return hash((kind, tuple(map(static_hash, value))))
    if isinstance(value, dict):
        return hash((kind, frozenset((k, static_hash(v)) for k, v in value.items())))
    if isinstance(value, partial):
        return hash(
            (kind, static_hash(value.func), static_hash(value.args), static_hash(value.keywords))
        )
    if isinstance(value, set):
        return hash((kind, frozenset(value)))
    if isinstance(value, float) and math.isnan(value):
        return hash(kind)
    try:
        return hash((kind, value))
    except TypeError:
        return hash(kind)


def static_equal(a: Any, b: Any) -> bool:
    """True where two static values make the same program."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(static_equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(static_equal(v, b[k]) for k, v in a.items())
    if isinstance(a, partial):
        return (
            static_equal(a.func, b.func)
            and static_equal(a.args, b.args)
            and static_equal(a.keywords, b.keywords)
        )
    if isinstance(a, float):
        return (a == b and math.copysign(1.0, a) == math.copysign(1.0, b)) or (a != a and b != b)
    try:
        return bool(a == b)
    except Exception:
        return False  # objects whose == is not a yes or no (arrays in a static field) are equal only to themselves
