"""Arithmetic on Variables: an operator takes a Variable for its value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

_BINARY = [
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
    "divmod",
]  # fmt: skip
_COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
_UNARY: dict[str, Callable] = {
    "neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert, "len": len, "iter": iter,
    "bool": bool, "int": int, "float": float, "complex": complex, "index": operator.index,
}  # fmt: skip


def add_operators(cls: Any) -> None:
    """Give a class with ``get_value`` the operators of its value.

    In-place operators raise: ``v += 1`` would put an array in the place of the Variable.
    """
    for name in _BINARY:
        function = divmod if name == "divmod" else getattr(operator, f"__{name}__")
        setattr(cls, f"__{name}__", _binary(cls, function))
        setattr(cls, f"__r{name}__", _reflected(function))
        if name != "divmod":
            setattr(cls, f"__i{name}__", _in_place(name))
    for name in _COMPARISONS:
        setattr(cls, f"__{name}__", _binary(cls, getattr(operator, f"__{name}__")))
    for name, function in _UNARY.items():
        setattr(cls, f"__{name}__", _unary(function))
    cls.__round__ = lambda self, ndigits=0: round(self.get_value(), ndigits)
    cls.__contains__ = lambda self, item: item in self.get_value()
    cls.__hash__ = object.__hash__  # a Variable is itself, whatever its value


def _binary(cls: Any, function: Callable) -> Callable:
    return lambda self, other: function(
        self.get_value(), other.get_value() if isinstance(other, cls) else other
    )


def _reflected(function: Callable) -> Callable:
    return lambda self, other: function(other, self.get_value())


def _unary(function: Callable) -> Callable:
    return lambda self: function(self.get_value())


def _in_place(name: str) -> Callable:
    def method(self: Any, other: Any) -> Any:
        raise TypeError(
            f"an in-place operator ({name}) would put an array in the place of the {type(self).__name__}; "
            "write to its value: variable.value += ..., or variable[...] += ..."
        )

    return method
