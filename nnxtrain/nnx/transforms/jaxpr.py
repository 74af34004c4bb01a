"""``nnx.make_jaxpr``: see what a function of objects computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax

from nnxtrain.nnx.transforms.lifted import Lifted
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def make_jaxpr(
    f: Any = MISSING,
    *,
    static_argnums: int | Iterable[int] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return a function that gives the jaxpr of ``f`` for its arguments (``jax.make_jaxpr``); nothing is computed.

    The jaxpr's inputs are the values of the objects' Variables, then the other arguments; its results those of ``f``, then
    the Variables that ``f`` writes. The arguments stay as they are.

    Args:
      f: the function; without it a decorator is returned.
      static_argnums: positional arguments that are not traced.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> print(nnx.make_jaxpr(lambda v: v.value + 1)(nnx.Param(jnp.array(1.0))))
    { lambda ; a:f32[]. let b:f32[] = add a 1.0:f32[] in (b,) }
    """
    if isinstance(f, MissingType):
        return lambda f: make_jaxpr(
            f, static_argnums=static_argnums, graph=graph, graph_updates=graph_updates
        )
    lifted = Lifted("nnx.make_jaxpr", f, graph, graph_updates)
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    def jaxpr_of(*args: Any, **kwargs: Any) -> Any:
        fixed = {n % len(args): args[n] for n in numbers if -len(args) <= n < len(args)}
        call = lifted.detach(tuple(None if n in fixed else a for n, a in enumerate(args)), kwargs)
        static = {n + len(lifted.bound): a for n, a in fixed.items()}

        def pure(values: Any, args: tuple, kwargs: dict) -> Any:
            args = tuple(static.get(n, a) for n, a in enumerate(args))
            out, sent, _ = lifted.run(call, values, args, kwargs)
            return out, sent

        return jax.make_jaxpr(pure)(call.structure.values(), call.args, call.kwargs)

    return jaxpr_of
