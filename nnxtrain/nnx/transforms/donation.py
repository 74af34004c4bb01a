"""Donation: which values of objects a compiled function may overwrite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph.graphdef import GraphDef
from nnxtrain.nnx.transforms.axes import below, root_node


def share_arrays(values: list[Any], others: list[Any]) -> bool:
    """Whether one array stands twice among the values of objects and the other arguments."""
    arrays = [*jax.tree.leaves(values), *others]
    return len(set(map(id, arrays))) < len(arrays)


def unshared(donated: list[Any], seen: set[int]) -> list[Any]:
    """Copies of the arrays that stand twice (``seen``: the ids of the other arguments), so that these are not deleted."""
    result = []
    for value in donated:
        arrays, treedef = jax.tree.flatten(value)
        held = [jnp.copy(array) if id(array) in seen else array for array in arrays]
        seen.update(map(id, arrays))
        result.append(treedef.unflatten(held))  # type: ignore[attr-defined]
    return result


def leaves_below(graphdef: GraphDef, num_roots: int, roots: tuple[int, ...]) -> frozenset[int]:
    """The leaf numbers reached from some of the roots and from no other root."""
    reached = [set(below(graphdef, root_node(graphdef, i, num_roots))) for i in range(num_roots)]
    inside = set().union(*(reached[i] for i in roots))
    return frozenset(inside.difference(*(r for i, r in enumerate(reached) if i not in roots)))
