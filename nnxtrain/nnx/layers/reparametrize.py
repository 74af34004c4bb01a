"""Let a layer compute with other weights than the ones it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.graph.filters import Predicate
from nnxtrain.nnx.graph.structure import iter_graph
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.variable.variable import Param, put_raw


def params_of(layer: Module, chosen: Predicate) -> list[tuple[tuple[str, ...], Param]]:
    """The Params of a layer that are chosen, each once, with their paths as strings."""
    return [
        (tuple(map(str, path)), leaf)
        for path, leaf in iter_graph(layer)
        if isinstance(leaf, Param) and chosen(path, leaf)
    ]


@contextmanager
def substituted(weights: Sequence[tuple[Param, Any]]) -> Iterator[None]:
    """Inside, each Param has the given value. It is no write: nothing is changed after it, nor forbidden in it."""
    own = [(param, param.raw_value) for param, _ in weights]
    try:
        for param, value in weights:
            put_raw(param, value)
        yield
    finally:
        for param, value in own:
            put_raw(param, value)


def l2_normalize(
    x: jax.Array, axes: Sequence[int] | None = None, epsilon: float = 1e-12
) -> jax.Array:
    """``x / sqrt(sum(x²) + epsilon)`` over ``axes`` (default: all)."""
    return x * lax.rsqrt(jnp.sum(x * x, axis=axes, keepdims=True) + epsilon)


def place(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value into nested dicts."""
    *parents, name = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[name] = value


def find(tree: Any, path: tuple[str, ...], owner: str) -> Any:
    """The value under a path of nested dicts. Raises a ValueError where the wrapped layer has got a new parameter."""
    for name in path:
        if name not in tree:
            raise ValueError(
                f"{owner} has nothing for the parameter {'.'.join(path)}, which its layer got after it was wrapped"
            )
        tree = tree[name]
    return tree
