"""The lower-case names of Variable kinds ("params", "batch_stats"), for text formats and look-ups by string."""

from __future__ import annotations

from typing import Any

from nnxtrain.nnx.variable.variable import (
    MISSING,
    BatchStat,
    Cache,
    Intermediate,
    MissingType,
    Param,
    Perturbation,
    RngCount,
    RngKey,
    RngState,
    Variable,
)

_kinds: dict[str, type[Variable]] = {
    "params": Param, "batch_stats": BatchStat, "cache": Cache, "intermediates": Intermediate,
    "perturbations": Perturbation, "rng_state": RngState, "rng_key": RngKey, "rng_count": RngCount,
}  # fmt: skip


def register_variable_name(name: str, typ: Any = MISSING, *, overwrite: bool = False) -> Any:
    """Give a Variable kind its name; without ``typ`` a decorator.

    Raises:
      ValueError: the name is taken, and ``overwrite`` is not set.
    """
    if isinstance(typ, MissingType):
        return lambda typ: register_variable_name(name, typ, overwrite=overwrite)
    if name in _kinds and not overwrite:
        raise ValueError(
            f"the name {name!r} belongs to {_kinds[name].__name__}; pass overwrite=True to replace it"
        )
    _kinds[name] = typ
    return typ


def variable_type_from_name(
    name: str, *, base: type[Variable] = Variable, allow_register: bool = False
) -> type[Variable]:
    """The Variable kind of that name; with ``allow_register`` an unknown name makes a new kind.

    Raises:
      ValueError: no kind has the name.

    >>> variable_type_from_name("batch_stats").__name__
    'BatchStat'
    """
    if name not in _kinds:
        if not allow_register:
            raise ValueError(
                f"no Variable kind is named {name!r}; known: {', '.join(sorted(_kinds))}. "
                "Name one with nnx.register_variable_name, or pass allow_register=True"
            )
        _kinds[name] = type(name.title().replace("_", ""), (base,), {})
    return _kinds[name]


def variable_name_from_type(typ: type[Variable], *, allow_register: bool = False) -> str:
    """The name of a Variable kind; with ``allow_register`` an unnamed kind gets its class name.

    Raises:
      ValueError: the kind has no name.
    """
    for name, known in _kinds.items():
        if known is typ:
            return name
    if not allow_register:
        raise ValueError(f"{typ.__name__} has no registered name; use nnx.register_variable_name")
    register_variable_name(typ.__name__, typ)
    return typ.__name__
