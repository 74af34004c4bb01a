"""``nnx.frozen``: a block in which some Variables cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.variable.variable import Epoch, Variable


@contextmanager
def frozen(node: Any, *filters: Any) -> Iterator[None]:
    """Raise a FrozenError when a Variable that the filters mean (default: all) is written inside the block.

    It holds inside compiled functions as well, which are compiled anew for frozen Variables.

    >>> from nnxtrain import nnx
    >>> norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    >>> with nnx.frozen(norm, nnx.BatchStat):
    ...     norm.mean.value = 1.0
    Traceback (most recent call last):
    nnxtrain.nnx.errors.FrozenError: mean (BatchStat) is written inside nnx.frozen. Leave the block ...
    """
    structure = walk(node)
    predicate = to_predicate(list(filters) if filters else ...)
    held = [
        leaf
        for path, leaf in zip(structure.graphdef.paths, structure.leaves)
        if isinstance(leaf, Variable) and predicate(path, leaf)
    ]
    _add(held, 1)
    try:
        yield
    finally:
        _add(held, -1)


def _add(variables: list[Variable], amount: int) -> None:
    for variable in variables:
        variable._frozen += amount
    Epoch.metadata_written()
