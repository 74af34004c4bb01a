"""The body of a loop (scan, while, fori) with objects in its carry: traced once, checked, and turned pure.

What the body only reads is closed over, what it writes is carried. So a big model in the carry costs a loop (and its
gradient) no more than its counters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.static import static_equal
from nnxtrain.nnx.transforms.axes import Carry, LeafAxes, is_slot, root_node
from nnxtrain.nnx.transforms.lifted import Call, dotted
from nnxtrain.nnx.transforms.staged import Staged
from nnxtrain.nnx.transforms.tree import Tree, is_dynamic


class Body:
    """One step of a loop, as a pure function of the carry and the step's inputs.

    Args:
      name: of the transform, for errors.
      call: the loop's arguments, taken apart.
      axes: for each leaf of the objects nnx.Carry, an axis (sliced) or None (the same in each step).
      step: ``(values, carry, inputs) -> (carry_out, ys, sent, note)``: the user's function by ``lift.call``.
      carry: the carried argument, with Slots.
      inputs: what is different in each step, for one step (shapes suffice).
      sliced: for each leaf with an axis, by number, its value in one step (shapes suffice).

    Attributes:
      result: ``(carry, ys, sent)`` with shapes for arrays.
      note: what the body changes.
      sent_axes: for each sent value nnx.Carry or the axis it is stacked along.
    """

    def __init__(
        self,
        name: str,
        call: Call,
        axes: LeafAxes,
        step: Callable[..., Any],
        carry: Any,
        inputs: Any,
        sliced: dict[int, Any],
        outputs: Callable[[Any], list[Any]] = lambda ys: [],
    ):
        self.name = name
        self.values = call.structure.values()
        self.carry = Tree(carry)
        self.carried = [leaf for leaf, axis in enumerate(axes.of) if axis is Carry]
        self.sliced = list(sliced)

        def pure(carry: Any, carried: Any, inputs: Any, sliced: Any) -> Any:
            values = list(self.values)
            for numbers, part in ((self.carried, carried), (self.sliced, sliced)):
                for number, value in zip(numbers, part):
                    values[number] = value
            return step(values, self.carry.rebuild(carry), inputs)

        given = ([self.values[i] for i in self.carried], inputs, [sliced[i] for i in self.sliced])
        staged = Staged(pure, self.carry.arrays, *given)
        wanted = jax.tree.leaves(staged.result[0])
        if len(wanted) == len(self.carry.arrays):
            start, self.carry.arrays = (
                self.carry.arrays,
                list(map(_firm, self.carry.arrays, wanted)),
            )
            if list(map(_dtype, start)) != list(map(_dtype, self.carry.arrays)):
                staged = Staged(pure, self.carry.arrays, *given)
        self.staged = staged
        carry_out, ys, self.sent, self.note = staged.result
        self._check_carry(call, carry, carry_out)
        self._check_structure(call)
        self.sent_axes = axes.of_sent(self.note, outputs(ys))
        self._check_sent(axes)
        self._written = {
            self._leaf_of(k): k for k, axis in enumerate(self.sent_axes) if axis is Carry
        }

    def _check_carry(self, call: Call, before: Any, after: Any) -> None:
        graphdef, patch = call.graphdef, self.note.patch
        places = {i: root_node(graphdef, i, len(call.roots)) for i in range(len(call.roots))}
        come = (
            {}
            if patch is None
            else {i: patch.origins.get(number) for i, number in enumerate(patch.outputs)}
        )
        old: Any = jax.tree_util.tree_flatten_with_path(before, is_leaf=is_slot)
        new: Any = jax.tree_util.tree_flatten_with_path(after, is_leaf=is_slot)
        if old[1] != new[1]:
            raise StructureError(
                f"{self.name}: the carry must keep its structure; it goes in as {old[1]} and comes out as {new[1]}"
            )
        for (path, a), (_, b) in zip(old[0], new[0]):
            where = f"the carry{jax.tree_util.keystr(path)}"
            if is_slot(a) != is_slot(b) or (is_slot(a) and places[a.number] != come.get(b.number)):
                raise StructureError(
                    f"{self.name}: {where} must be the same object when it comes out; write to the object that came in "
                    "(nnx.update), and return it"
                )
            if not is_slot(a) and is_dynamic(a):
                a = jax.typeof(a)
                if a.shape != b.shape or (
                    a.dtype != b.dtype and not getattr(a, "weak_type", False)
                ):
                    raise TypeError(
                        f"{self.name}: {where} goes in as {_describe(a)} and comes out as {_describe(b)}; cast it "
                        "or reshape it to what went in"
                    )

    def _check_structure(self, call: Call) -> None:
        """A step may add Variables to a sliced object (they are stacked); any other change would happen once only."""
        patch = self.note.patch
        if patch is None or not patch.restructured:
            return
        graphdef = call.graphdef
        number_of = {old: new for new, old in patch.origins.items()}
        for new in patch.rewritten:
            old = patch.origins[new]
            before, after = dict(graphdef.attributes[old]), dict(patch.graphdef.attributes[new])
            for key in {**before, **after}:
                a, b = before.get(key), after.get(key)
                if type(b) is int and a is None:
                    continue  # new: its leaves are looked at below
                if type(a) is int and type(b) is int:
                    one, other = graphdef.nodes[a], patch.graphdef.nodes[b]
                    if number_of.get(a) == b or (a not in number_of and one == other):
                        continue  # the same object, or an array or tuple, which have no identity
                if a is not None and b is not None and type(a) is not int and static_equal(a, b):
                    continue
                raise StructureError(
                    f"{self.name}: a step changes the structure: {dotted((*graphdef.node_paths[old], key))} is "
                    f"{'removed' if b is None else 'another static value or object'}, which would happen once, not once a "
                    "step. Keep what changes in a Variable"
                )

    def _check_sent(self, axes: LeafAxes) -> None:
        patch = self.note.patch
        for k, axis in enumerate(self.sent_axes):
            old = self._leaf_of(k)
            if old is None:
                assert patch is not None
                name = dotted(patch.graphdef.paths[patch.sent[k]][1:])
                if not isinstance(axis, int):
                    raise StructureError(
                        f"{self.name}: a step makes the new Variable {name} in an object that is not sliced, so it would "
                        "change the loop's structure; make it before the loop, or give the object an axis"
                    )
                continue
            name = axes.names[old]
            if axis is None:
                raise ValueError(
                    f"{self.name}: {name} has axis None (the same in each step), but a step writes it. Carry it "
                    "(nnx.StateAxes({..., filter: nnx.Carry})), or give each step its own (random streams: nnx.split_rngs)"
                )
            if axis is Carry:
                a = [jax.typeof(x) for x in jax.tree.leaves(self.values[old])]
                b = jax.tree.leaves(self.sent[k])
                if [(x.shape, x.dtype) for x in a] != [(x.shape, x.dtype) for x in b]:
                    raise TypeError(
                        f"{self.name}: {name} goes in as {', '.join(map(_describe, a))} and is written as "
                        f"{', '.join(map(_describe, b))}; keep its shape and dtype"
                    )

    def _leaf_of(self, k: int) -> int | None:
        """The leaf number, before the call, of the k-th sent value; None for a new one."""
        patch = self.note.patch
        return self.note.changed[k] if patch is None else patch.sent_from[k]

    def start(self) -> tuple[list[Any], list[Any]]:
        """The loop's first carry: the carried arrays, and the values of the Variables that the body writes."""
        return self.carry.arrays, [self.values[i] for i in self.carried if i in self._written]

    def values_at(self, carried: list[Any]) -> list[Any]:
        """The values of all carried leaves, given those that the body writes."""
        rest = iter(carried)
        return [next(rest) if i in self._written else self.values[i] for i in self.carried]

    def __call__(self, state: Any, inputs: Any = None, sliced: Any = ()) -> tuple[Any, Any, Any]:
        """One step: ``(state, ys, values to stack)`` from the state, the inputs and the sliced values."""
        arrays, carried = state
        carry, ys, sent, _ = self.staged(arrays, self.values_at(carried), inputs, sliced)
        written = [sent[self._written[i]] for i in self.carried if i in self._written]
        stacked = [v for v, axis in zip(sent, self.sent_axes) if axis is not Carry]
        return (Tree(carry).arrays, written), ys, stacked

    def gather(self, state: Any, stacked: Any) -> tuple[Any, list[Any]]:
        """The carry (with Slots) and the values to send out, after the loop."""
        arrays, carried = state
        ends = dict(zip([self._written[i] for i in self.carried if i in self._written], carried))
        rest = iter(stacked)
        sent = [ends[k] if axis is Carry else next(rest) for k, axis in enumerate(self.sent_axes)]
        return Tree(self.staged.result[0]).rebuild(arrays), sent


def _dtype(x: Any) -> Any:
    return jax.typeof(x).dtype


def _firm(x: Any, wanted: Any) -> Any:
    """A weakly typed number (the 0.0 that a sum starts from) as an array of the dtype that the body makes of it."""
    return jnp.asarray(x, wanted.dtype) if getattr(jax.typeof(x), "weak_type", False) else x


def _describe(x: Any) -> str:
    return f"{jnp.dtype(x.dtype).name if not jnp.issubdtype(x.dtype, jax.dtypes.extended) else x.dtype}{list(x.shape)}"
