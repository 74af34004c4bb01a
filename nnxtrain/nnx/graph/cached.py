"""``nnx.cached_partial``, for scripts that were written for a library in which it saves time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def cached_partial(
    f: Callable[..., Any],
    *cached_args: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Callable[..., Any]:
    """``functools.partial(f, *cached_args)``: every transform remembers the structure of its arguments anyway.

    So the arguments are not copied, and the function may change their structure.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.cached_partial(nnx.jit(lambda model, x: model(x)), model)(jnp.ones((1, 2))).shape
    (1, 3)
    """
    if graph is False or graph_updates is False:
        raise ValueError("nnx.cached_partial is for graph=True and graph_updates=True")
    return partial(f, *cached_args)
