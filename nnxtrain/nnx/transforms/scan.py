"""``nnx.scan``: a loop whose steps see slices of the arguments, with Variables carried, sliced or the same in each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.transforms.axes import (
    Carry,
    LeafAxes,
    entries_of_roots,
    for_each_argument,
    is_slot,
    spread,
)
from nnxtrain.nnx.transforms.axis_names import with_axis_name
from nnxtrain.nnx.transforms.lifted import Call, Lifted, positional
from nnxtrain.nnx.transforms.loop import Body
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def scan(
    f: Any = MISSING,
    *,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    in_axes: Any = (Carry, 0),
    out_axes: Any = (Carry, 0),
    transform_metadata: Mapping[str, Any] = {},
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Turn ``f``, one step, into a loop over an axis of its arguments (``jax.lax.scan``).

    Args:
      f: the step; without it a decorator is returned. The object of a bound method is the same in each step.
      length: the number of steps, where no argument has an axis.
      reverse: from the last slice to the first.
      unroll: how many steps to lay out in one iteration of the compiled loop; True: all.
      in_axes: for each positional argument an axis (step i sees slice i), None (the same in each step), ``nnx.Carry``
        (what a step returns for it, the next step gets), a tree of axes and None, or for an object a :class:`StateAxes`,
        whose entries may be ``nnx.Carry`` too. An object may be carried, in part or whole, beside the one Carry argument.
      out_axes: for each result the axis along which it is stacked; ``nnx.Carry`` where the carry is returned.
      transform_metadata: as in :func:`nnx.vmap`.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    Returns:
      the loop, a function with the results of ``f``: stacked, or the last carry.

    Raises:
      ValueError: the axes do not fit, or a step writes a Variable with axis None.
      StructureError: a step changes the structure of what is carried.
      TypeError: the carry, or a carried Variable, changes its shape or dtype.

    Layers with stacked parameters, run one after another:

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> make = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: nnx.Linear(4, 4, rngs=rngs)))
    >>> layers = make(nnx.Rngs(0))
    >>> run = nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    >>> run(jnp.ones((2, 4)), layers).shape
    (2, 4)
    """
    options: dict[str, Any] = {
        "length": length, "reverse": reverse, "unroll": unroll, "split_transpose": _split_transpose,
        "in_axes": in_axes, "out_axes": out_axes, "transform_metadata": transform_metadata, "graph": graph,
        "graph_updates": graph_updates,
    }  # fmt: skip
    if isinstance(f, MissingType):
        return lambda f: ScanFunction(f, **options)
    return ScanFunction(f, **options)


class ScanFunction(Lifted):
    """A loop; made by :func:`scan`."""

    def __init__(
        self,
        f: Any,
        *,
        length: int | None,
        reverse: bool,
        unroll: int | bool,
        split_transpose: bool,
        in_axes: Any,
        out_axes: Any,
        transform_metadata: Mapping[str, Any],
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__("nnx.scan", f, graph, graph_updates)
        self.in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        self.out_axes = tuple(out_axes) if isinstance(out_axes, list) else out_axes
        self.metadata = transform_metadata
        self.length = length
        self.options: dict[str, Any] = {
            "reverse": reverse,
            "unroll": unroll,
            "_split_transpose": split_transpose,
        }
        self.carry_in = _carry_place("in_axes", self.in_axes)
        self.carry_out = _carry_place("out_axes", self.out_axes)
        if (self.carry_in is None) != (self.carry_out is None):
            raise ValueError(
                "nnx.scan: nnx.Carry stands in one of in_axes and out_axes only; what is carried goes in and comes out: "
                f"in_axes={_show(self.in_axes)}, out_axes={_show(self.out_axes)}"
            )
        for entry, _, _ in spread("nnx.scan out_axes", self.out_axes, self.out_axes):
            if None in getattr(entry, "axes", (entry,)) or Carry in getattr(entry, "axes", ()):
                raise ValueError(
                    f"nnx.scan: each entry of out_axes is an axis or nnx.Carry; got {_show(self.out_axes)}"
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = positional(self.fun, (*self.bound, *args), kwargs)
        bound = len(self.bound)
        call = self.detach(args[bound:], kwargs)
        in_axes = for_each_argument(self.in_axes, len(args), bound)
        if len(in_axes) != len(call.args):
            raise ValueError(
                f"nnx.scan: in_axes has {len(in_axes)} entries ({_show(in_axes)}), and the call {len(call.args)} arguments"
            )
        carry_place = _carry_place("in_axes", in_axes)
        where = spread("nnx.scan in_axes", in_axes, call.args)
        others = spread("nnx.scan keyword arguments", None, call.kwargs)
        axes = LeafAxes(
            "nnx.scan in_axes",
            call.structure,
            entries_of_roots(where + others, len(call.roots), None),
        )
        slices = _Slices(call, where, axes)
        fun = with_axis_name(
            self.fun, axes, lambda out: self._outputs(self._split(out)[1]), self.metadata
        )

        def step(values: list[Any], carry: Any, inputs: list[Any]) -> Any:
            args = slices.fill(inputs)
            if carry_place is not None:
                args[carry_place] = carry
            out, sent, note = self.run(call, values, tuple(args), call.kwargs, fun)
            return *self._split(out), sent, note

        carry = None if carry_place is None else call.args[carry_place]
        shapes, variables = slices.shapes()
        body = Body(self.name, call, axes, step, carry, shapes, variables, self._outputs)

        def one(state: Any, x: Any) -> tuple[Any, Any]:
            state, ys, stacked = body(state, *x)
            return state, (ys, stacked)

        state, (ys, stacked) = jax.lax.scan(
            one, body.start(), slices.xs(), length=slices.length(self.length), **self.options
        )
        to = [axis for axis in body.sent_axes if axis is not Carry]
        stacked = [_move(value, 0, axis) for axis, value in zip(to, stacked)]
        carry, sent = body.gather(state, stacked)
        return self.attach(call, self._join(carry, self._stack(ys)), sent, body.note)

    # -- the two parts of a result: what is carried, and what is stacked ---------------------------------------------
    def _split(self, out: Any) -> tuple[Any, Any]:
        if self.carry_out is None:
            return None, out
        if not isinstance(self.out_axes, tuple):
            return out, ()
        if not isinstance(out, tuple) or len(out) != len(self.out_axes):
            got = f"{len(out)} values" if isinstance(out, tuple) else f"a {type(out).__name__}"
            raise ValueError(
                f"nnx.scan: out_axes={_show(self.out_axes)} wants {len(self.out_axes)} results of a step; it returned {got}"
            )
        return out[self.carry_out], out[: self.carry_out] + out[self.carry_out + 1 :]

    def _join(self, carry: Any, ys: Any) -> Any:
        if self.carry_out is None:
            return ys
        if not isinstance(self.out_axes, tuple):
            return carry
        return (*ys[: self.carry_out], carry, *ys[self.carry_out :])

    def _stacked_axes(self) -> Any:
        if self.carry_out is None:
            return self.out_axes
        if not isinstance(self.out_axes, tuple):
            return ()
        return self.out_axes[: self.carry_out] + self.out_axes[self.carry_out + 1 :]

    def _outputs(self, ys: Any) -> list[Any]:
        """For each object of the result its entry in out_axes; those of the carry are old ones, and need none."""
        found = {
            leaf.number: entry
            for entry, _, leaf in spread("nnx.scan out_axes", self._stacked_axes(), ys)
            if is_slot(leaf)
        }
        return [found.get(number, 0) for number in range(max(found, default=-1) + 1)]

    def _stack(self, ys: Any) -> Any:
        moved = [
            leaf if is_slot(leaf) or leaf is None else jnp.moveaxis(leaf, 0, axis)
            for axis, _, leaf in spread("nnx.scan out_axes", self._stacked_axes(), ys)
        ]
        treedef: Any = jax.tree.structure(ys, is_leaf=lambda x: is_slot(x) or x is None)
        return treedef.unflatten(moved)


class _Slices:
    """What differs from step to step: slices of the arguments, and of their objects' Variables."""

    def __init__(self, call: Call, where: list[Any], axes: LeafAxes):
        self.leaves, treedef = jax.tree.flatten(
            call.args, is_leaf=lambda x: is_slot(x) or x is None
        )
        self.treedef: Any = treedef
        self.arguments = [
            (k, axis, jax.tree_util.keystr(path) or "an argument")
            for k, (axis, path, leaf) in enumerate(where)
            if isinstance(axis, int) and not is_slot(leaf) and leaf is not None
        ]
        values = call.structure.values()
        self.variables = [
            (leaf, axis, axes.names[leaf], values[leaf])
            for leaf, axis in enumerate(axes.of)
            if isinstance(axis, int)
        ]

    def length(self, wanted: int | None) -> int:
        """The number of steps. Raises a ValueError where the arguments do not agree on it."""
        found = [] if wanted is None else [wanted]
        for value, axis, name in [
            *((self.leaves[k], axis, name) for k, axis, name in self.arguments),
            *((value, axis, name) for _, axis, name, value in self.variables),
        ]:
            found += [_size(leaf, axis, name) for leaf in jax.tree.leaves(value)]
        if len(set(found)) != 1:
            raise ValueError(
                f"nnx.scan: the sliced arguments have lengths {sorted(set(found))}; they must agree"
                if found
                else "nnx.scan: nothing is sliced, so say the number of steps: length=..."
            )
        return found[0]

    def shapes(self) -> tuple[list[Any], dict[int, Any]]:
        """The shapes of one slice: of the arguments, and of the Variables by leaf number."""
        if self.arguments or self.variables:
            self.length(None)  # which names what has no such axis
        arguments = [_one(self.leaves[k], axis) for k, axis, _ in self.arguments]
        return arguments, {leaf: _one(value, axis) for leaf, axis, _, value in self.variables}

    def xs(self) -> tuple[list[Any], list[Any]]:
        """All slices, along axis 0, as ``jax.lax.scan`` takes them."""
        arguments = [_move(self.leaves[k], axis, 0) for k, axis, _ in self.arguments]
        return arguments, [_move(value, axis, 0) for _, axis, _, value in self.variables]

    def fill(self, inputs: list[Any]) -> list[Any]:
        """The arguments of one step."""
        filled = list(self.leaves)
        for (k, _, _), value in zip(self.arguments, inputs):
            filled[k] = value
        return list(self.treedef.unflatten(filled))


def _move(value: Any, source: int, destination: int) -> Any:
    return jax.tree.map(lambda x: jnp.moveaxis(x, source, destination), value)


def _one(value: Any, axis: int) -> Any:
    """The shape of one slice."""

    def sliced(x: Any) -> jax.ShapeDtypeStruct:
        at = axis % len(x.shape)
        return jax.ShapeDtypeStruct((*x.shape[:at], *x.shape[at + 1 :]), x.dtype)

    return jax.tree.map(sliced, value)


def _size(value: Any, axis: int, name: str) -> int:
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"nnx.scan is to slice {name} along axis {axis}, but its shape is {list(shape)}. Give it axis None or "
            "nnx.Carry, or, for random streams, split it with nnx.split_rngs"
        )
    return shape[axis]


def _carry_place(which: str, axes: Any) -> int | None:
    """Where nnx.Carry stands, as the only entry (0) or as one of a tuple."""
    if not isinstance(axes, tuple):
        return 0 if axes is Carry else None
    places = [i for i, axis in enumerate(axes) if axis is Carry]
    nested = [
        path
        for axis in axes
        if axis is not Carry
        for path, leaf in jax.tree_util.tree_flatten_with_path(axis)[0]
        if leaf is Carry
    ]
    if len(places) > 1 or nested:
        raise ValueError(
            f"nnx.scan: nnx.Carry may stand once in {which}, for a whole argument; got {_show(axes)}. Carry a tuple, or "
            "carry Variables of an object by nnx.StateAxes"
        )
    return places[0] if places else None


def _show(axes: Any) -> str:
    return repr(axes).replace(repr(Carry), "nnx.Carry")
