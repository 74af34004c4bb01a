"""``nnx.eval_shape``: run a function without computing, to learn shapes and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.callables import unbind


def eval_shape(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the result of ``f(*args, **kwargs)`` with ``jax.ShapeDtypeStruct`` in the place of arrays.

    Objects in the result are new ones with abstract values; the arguments stay as they are.

    >>> from nnxtrain import nnx
    >>> model = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    >>> model.kernel.value.shape
    (2, 3)
    """
    fun, bound = unbind(f)
    args, kwargs, roots = lift.detach((*bound, *args), kwargs)
    structure = lift.structure_of_roots(roots)

    def pure(values: Any, args: tuple, kwargs: dict) -> Any:
        return lift.call(
            "nnx.eval_shape", fun, structure.graphdef, len(roots), values, args, kwargs
        )

    values = structure.values()
    out, sent, note = jax.eval_shape(pure, values, args, kwargs)
    if note.patch is None:
        return out
    graphdef = note.patch.graphdef
    leaves: list[Any] = [None] * graphdef.num_leaves
    before = {node: leaf for leaf, node in enumerate(structure.graphdef.leaf_nodes)}
    for leaf, number in enumerate(graphdef.leaf_nodes):
        if number in note.patch.origins:
            value = values[before[note.patch.origins[number]]]
            leaves[leaf] = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), value)
    for leaf, value in zip(note.patch.sent, sent):
        leaves[leaf] = value
    nodes = graphdef.build(leaves)
    return lift.refill(out, [nodes[i] for i in note.patch.outputs])
