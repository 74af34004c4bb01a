"""``nnx.vmap``: map a function over an axis of its arguments, the Variables of objects included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from nnxtrain.nnx.transforms.axes import (
    Grouped,
    LeafAxes,
    entries_of_outputs,
    entries_of_roots,
    for_each_argument,
    plain,
    spread,
)
from nnxtrain.nnx.transforms.axis_names import with_axis_name
from nnxtrain.nnx.transforms.lifted import Call, Lifted, positional
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def vmap(
    f: Any = MISSING,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    transform_metadata: Mapping[str, Any] = {},
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Map ``f`` over an axis of its arguments.

    What ``f`` writes to a Variable comes back along the axis the Variable was mapped over. A Variable with axis None is the
    same for all; it may be written only with a value that is the same for all.

    Args:
      f: the function; without it a decorator is returned. The object of a bound method counts as mapped over None.
      in_axes: for each positional argument an axis, None, a tree of them, or for objects a :class:`StateAxes`.
      out_axes: the same for the result.
      axis_name: a name for collectives (``jax.lax.pmean``) inside ``f``.
      axis_size: the size of the axis, where no argument is mapped.
      spmd_axis_name: mesh axes over which the mapped axis is sharded, as in ``jax.vmap``.
      transform_metadata: ``{nnx.PARTITION_NAME: name}`` puts the name into ``sharding_names`` of the Variables at the mapped
        axis, and takes it out of those that come in.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    Raises:
      ValueError: the axes do not fit the arguments, or a shared Variable gets two.

    An ensemble of five models:

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> make = nnx.split_rngs(splits=5)(nnx.vmap(lambda rngs: nnx.Linear(2, 3, rngs=rngs)))
    >>> models = make(nnx.Rngs(0))
    >>> models.kernel.shape
    (5, 2, 3)
    >>> nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(models, jnp.ones((4, 2))).shape
    (5, 4, 3)
    """
    options: dict[str, Any] = {
        "in_axes": in_axes, "out_axes": out_axes, "axis_name": axis_name, "axis_size": axis_size,
        "spmd_axis_name": spmd_axis_name, "transform_metadata": transform_metadata, "graph": graph,
        "graph_updates": graph_updates,
    }  # fmt: skip
    if isinstance(f, MissingType):
        return lambda f: VmapFunction(f, **options)
    return VmapFunction(f, **options)


class VmapFunction(Lifted):
    """A mapped function; made by :func:`vmap`."""

    def __init__(
        self,
        f: Any,
        *,
        in_axes: Any,
        out_axes: Any,
        axis_name: Any,
        axis_size: int | None,
        spmd_axis_name: Any,
        transform_metadata: Mapping[str, Any],
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__("nnx.vmap", f, graph, graph_updates)
        self.in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        self.out_axes = out_axes
        self.metadata = transform_metadata
        self.options = {
            "axis_name": axis_name,
            "axis_size": axis_size,
            "spmd_axis_name": spmd_axis_name,
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = positional(self.fun, (*self.bound, *args), kwargs)
        bound = len(self.bound)
        call = self.detach(args[bound:], kwargs)
        in_axes = for_each_argument(self.in_axes, len(args), bound)
        where = spread("nnx.vmap in_axes", in_axes, call.args)
        where += spread("nnx.vmap keyword arguments", 0, call.kwargs)
        axes = LeafAxes(
            "nnx.vmap in_axes",
            call.structure,
            entries_of_roots(where, len(call.roots), None),
        )
        values = call.structure.values()
        _check_sizes(call, axes, values, where)
        out_axes = [entry for entry, _, _ in spread("out_axes", self.out_axes, self.out_axes)]
        groups = Grouped(*axes.roots, *out_axes)
        fun = with_axis_name(self.fun, axes, self._outputs, self.metadata)

        def pure(values: Any, args: tuple, kwargs: dict) -> tuple[Any, list[list[Any]], Any]:
            out, sent, note = self.run(call, values, args, kwargs, fun)
            return out, groups.group(sent, axes.of_sent(note, self._outputs(out))), note

        try:
            out, grouped, note = jax.vmap(
                pure,
                in_axes=(axes.of, plain(in_axes, 0), 0),
                out_axes=(plain(self.out_axes, 0), groups.axes, None),
                **self.options,
            )(values, call.args, call.kwargs)
        except ValueError as error:
            if "axis spec None but output was batched" not in str(error):
                raise
            fixed = [name for name, axis in zip(axes.names, axes.of) if axis is None]
            raise ValueError(
                "nnx.vmap: a value that differs along the mapped axis was written to a Variable with axis None (of "
                f"{', '.join(fixed[:5]) or 'none'}), or returned with out_axes=None: give it an axis, by nnx.StateAxes for "
                "some Variables of an object"
            ) from error
        sent = groups.ungroup(grouped, axes.of_sent(note, self._outputs(out)))
        return self.attach(call, out, sent, note)

    def _outputs(self, out: Any) -> list[Any]:
        return entries_of_outputs("nnx.vmap out_axes", self.out_axes, out)


def _check_sizes(call: Call, axes: LeafAxes, values: list[Any], where: list[Any]) -> None:
    """Raise where a Variable does not have the mapped axis, or has another size there than the other arguments."""
    sizes: dict[int, str] = {}
    mapped = [(n, a, v) for n, a, v in zip(axes.names, axes.of, values) if isinstance(a, int)]
    named = [
        (jax.tree_util.keystr(path) or "an argument", axis, leaf)
        for axis, path, leaf in where
        if isinstance(axis, int) and hasattr(leaf, "shape")
    ]
    for name, axis, value in [*mapped, *named]:
        for leaf in jax.tree.leaves(value):
            shape = getattr(leaf, "shape", ())
            if not -len(shape) <= axis < len(shape):
                raise ValueError(
                    f"nnx.vmap is to map {name} over axis {axis}, but its shape is {list(shape)}. Give it axis None "
                    "(nnx.StateAxes({nnx.RngState: None, ...: 0})), or, for random streams, split it with nnx.split_rngs"
                )
            sizes.setdefault(shape[axis], f"{name} {list(shape)}")
    if len(sizes) > 1:
        raise ValueError(
            "nnx.vmap maps over axes of different sizes: "
            + ", ".join(f"{size} in {name}" for size, name in list(sizes.items())[:3])
        )
