"""A function traced once to a jaxpr, whose effects on objects are then known before it is used in a loop or a branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun


class Staged:
    """``fun`` traced for arguments of these shapes: called, it evaluates the jaxpr, without Python of the user.

    Args:
      fun: a pure function of arrays; static parts of its result (Slots, Notes) are kept.
      *args: arrays or ``jax.ShapeDtypeStruct``.

    Attributes:
      result: what ``fun`` returned, with ``jax.ShapeDtypeStruct`` for arrays.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any):
        jaxpr, self.result = jax.make_jaxpr(fun, return_shape=True)(*args)
        self._call = jaxpr_as_fun(jaxpr)
        self._treedef = jax.tree.structure(self.result)

    def __call__(self, *args: Any) -> Any:
        return jax.tree.unflatten(self._treedef, self._call(*jax.tree.leaves(args)))
