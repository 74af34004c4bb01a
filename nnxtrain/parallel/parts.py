"""Which part of each parameter a device holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import PartitionSpec

from nnxtrain import nnx


@dataclass(frozen=True)
class Part:
    """A device's part of a parameter, or of several that are alike and differ only in numbers of their paths.

    Attributes:
      path: dotted, with ``*`` where the paths differ.
      count: how many parameters.
      shape: of one, whole.
      spec: for each dimension the axis of the mesh that cuts it, a list of axes, or None; empty: it is whole on each device.
      part: shape of what a device holds.
      bytes: that a device holds of all of them.
    """

    path: str
    count: int
    shape: tuple[int, ...]
    spec: list[Any]
    part: tuple[int, ...]
    bytes: int


def parts(model: nnx.Module) -> list[Part]:
    """Return a device's parts of the parameters of a model whose arrays (or shapes) say where they lie, in its order.

    >>> import jax
    >>> class Net(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.layers = [nnx.Linear(4, 4, use_bias=False, rngs=rngs) for _ in range(3)]
    >>> parts(nnx.eval_shape(lambda: Net(nnx.Rngs(0))))
    [Part(path='layers.*.kernel', count=3, shape=(4, 4), spec=[], part=(4, 4), bytes=192)]
    """
    alike: dict[Any, list[tuple[str, ...]]] = {}
    for path, variable in nnx.to_flat_state(nnx.variables(model, nnx.Param)):
        value = variable.raw_value
        names = tuple(map(str, path))
        pattern = tuple("*" if name.isdecimal() else name for name in names)
        spec = getattr(value.sharding, "spec", PartitionSpec())
        alike.setdefault((pattern, value.shape, value.dtype, spec, value.sharding), []).append(
            names
        )
    return [
        _part(paths, shape, dtype.itemsize, spec, sharding)
        for (_, shape, dtype, spec, sharding), paths in alike.items()
    ]


def _part(
    paths: Sequence[tuple[str, ...]],
    shape: tuple[int, ...],
    size: int,
    spec: PartitionSpec,
    sharding: Any,
) -> Part:
    path = ".".join(names[0] if len(set(names)) == 1 else "*" for names in zip(*paths))
    part = shape if sharding is None else sharding.shard_shape(shape)
    cut = [list(entry) if isinstance(entry, tuple) else entry for entry in spec]
    if part == shape:
        cut = []
    return Part(path, len(paths), shape, cut, part, len(paths) * math.prod(part) * size)
