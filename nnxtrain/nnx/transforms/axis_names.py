"""``transform_metadata``: the mapped axis's name in the sharding metadata of Variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.axes import LeafAxes, axis_of
from nnxtrain.nnx.variable.annotated_sharding import ANNOTATIONS
from nnxtrain.nnx.variable.variable import Variable

PARTITION_NAME = "partition_name"


def with_axis_name(
    fun: Callable[..., Any],
    axes: LeafAxes,
    outputs: Callable[[Any], list[Any]],
    metadata: Mapping[str, Any],
) -> Callable[..., Any]:
    """``fun`` such that its Variables lack the mapped axis's name inside, and have it when they come out.

    Args:
      outputs: gives for each object in a result (with Slots) its axis.
      metadata: ``{PARTITION_NAME: name}`` for the shardings; any other entry for the metadata (a tuple) of that name.
    """
    if not metadata:
        return fun

    def named(*args: Any, **kwargs: Any) -> Any:
        _, _, roots = lift.detach(args, kwargs)
        axis_by_id: dict[int, Any] = {}
        for leaf, axis in zip(walk(roots).leaves, axes.of):
            axis_by_id[id(leaf)] = axis
            if isinstance(leaf, Variable) and isinstance(axis, int):
                _remove(leaf, axis, metadata)
        out = fun(*args, **kwargs)
        (slotted,), _, found = lift.detach((out,), {})
        tops = [*axes.roots, *outputs(slotted)]
        after = walk((*roots, *found))
        for (top, *path), leaf in zip(after.graphdef.paths, after.leaves):
            if isinstance(leaf, Variable):
                axis = axis_by_id.get(id(leaf), _NEW)
                if axis is _NEW:
                    axis = axis_of(tops[top], tuple(path), leaf)
                if isinstance(axis, int):
                    _add(leaf, axis, metadata)
        return out

    return named


_NEW = object()


def _entries(variable: Variable, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """For each of the Variable's metadata that has a name for each axis, the mapped axis's name."""
    names = {k: metadata[PARTITION_NAME] for k in ANNOTATIONS if PARTITION_NAME in metadata}
    names |= {k: v for k, v in metadata.items() if k != PARTITION_NAME}
    held = variable.get_metadata()
    kinds = (tuple, jax.sharding.PartitionSpec)
    return {k: name for k, name in names.items() if isinstance(held.get(k), kinds)}


def _add(variable: Variable, axis: int, metadata: Mapping[str, Any]) -> None:
    axis = axis if axis >= 0 else axis + len(getattr(variable._value, "shape", ())) + 1
    for key, name in _entries(variable, metadata).items():
        old = variable.get_metadata(key)
        names = [*old, *[None] * (axis - len(old))]
        names.insert(axis, name)
        variable.set_metadata(key, _like(old, names))
    variable.add_axis(axis, metadata.get(PARTITION_NAME))


def _remove(variable: Variable, axis: int, metadata: Mapping[str, Any]) -> None:
    axis = axis if axis >= 0 else axis + len(getattr(variable._value, "shape", ())) + 1
    for key, name in _entries(variable, metadata).items():
        names = list(variable.get_metadata(key))
        found = names.pop(axis) if axis < len(names) else None
        if found != name:
            raise ValueError(
                f"transform_metadata names the mapped axis {name!r}, but {key} of a {type(variable).__name__} has {found!r} "
                f"at {axis}: {tuple(variable.get_metadata(key))}"
            )
        variable.set_metadata(key, _like(variable.get_metadata(key), names))
    variable.remove_axis(axis, metadata.get(PARTITION_NAME))


def _like(old: Any, names: list[Any]) -> Any:
    return type(old)(*names) if isinstance(old, jax.sharding.PartitionSpec) else tuple(names)
