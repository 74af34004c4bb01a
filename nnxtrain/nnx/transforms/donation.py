"""Donation: which values of objects a compiled function may overwrite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph.graphdef import GraphDef


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
    if num_roots == 1:
        return frozenset(range(graphdef.num_leaves))

    def reached(start: list[int]) -> set[int]:
        seen: set[int] = set()
        while start:
            number = start.pop()
            if number not in seen:
                seen.add(number)
                start.extend(ref for _, ref in graphdef.attributes[number] if type(ref) is int)
        return seen

    tops = [ref for _, ref in graphdef.attributes[0] if type(ref) is int]
    nodes = reached([tops[i] for i in roots]) - reached(
        [t for i, t in enumerate(tops) if i not in roots]
    )
    return frozenset(leaf for leaf, number in enumerate(graphdef.leaf_nodes) if number in nodes)
