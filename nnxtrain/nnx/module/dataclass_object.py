"""``nnx.dataclass``: dataclasses that are objects of the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform, overload

from nnxtrain.nnx.module.annotate import data, static

T = TypeVar("T")


@overload
def dataclass(cls: type[T], /) -> type[T]: ...
@overload
def dataclass(
    *,
    init: bool = True,
    eq: bool = True,
    order: bool = False,
    unsafe_hash: bool = False,
    match_args: bool = True,
    kw_only: bool = False,
    slots: bool = False,
    weakref_slot: bool = False,
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(dataclasses.field, data, static))
def dataclass(
    cls: Any = None,
    /,
    *,
    init: bool = True,
    eq: bool = True,
    order: bool = False,
    unsafe_hash: bool = False,
    match_args: bool = True,
    kw_only: bool = False,
    slots: bool = False,
    weakref_slot: bool = False,
) -> Any:
    """``dataclasses.dataclass`` for ``nnx.Pytree`` and ``nnx.Module`` classes; fields may be ``nnx.data`` or ``nnx.static``.

    Instances can be changed. (``nnx.struct.dataclass`` makes frozen ones, with ``replace``.)

    Raises:
      TypeError: ``slots=True``; the attributes of an object live in its ``__dict__``.

    >>> import jax
    >>> from nnxtrain import nnx
    >>> @nnx.dataclass
    ... class Mixture(nnx.Pytree):
    ...     weight: float = nnx.data()
    ...     name: str = nnx.static(default="half")
    >>> mixture = Mixture(0.5)
    >>> mixture.weight = 1
    >>> [float(x) for x in jax.tree.leaves(mixture)], mixture.name
    ([1.0], 'half')
    """
    if slots or weakref_slot:
        raise TypeError(
            "nnx.dataclass takes no slots: the attributes of an object live in its __dict__"
        )
    return dataclasses.dataclass(
        cls,
        init=init,
        repr=False,
        eq=eq,
        order=order,
        unsafe_hash=unsafe_hash,
        match_args=match_args,
        kw_only=kw_only,
    )
