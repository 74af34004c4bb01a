"""Branches of a condition: each is traced once, then they are brought to the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.inspection.graphdef_diff import graphdef_diff
from nnxtrain.nnx.transforms import lift
from nnxtrain.nnx.transforms.axes import is_slot
from nnxtrain.nnx.transforms.lifted import Call, Lifted, dotted
from nnxtrain.nnx.transforms.staged import Staged
from nnxtrain.nnx.transforms.tree import Tree


class Branches:
    """Functions of the same operands, of which one will run.

    Attributes:
      arrays: the argument of each function: the arrays of the operands, and the values of their objects.
      functions: the branches as pure functions ``arrays -> (results, values to send out)`` with equal result types.
    """

    def __init__(
        self,
        name: str,
        branches: dict[str, Callable[..., Any]],
        operands: tuple,
        graph: bool | None,
        graph_updates: bool | None,
    ):
        self.name = name
        self.names = list(branches)
        # What a branch is bound to (a method's object) is an operand of all: one graph, one set of values.
        lifted = [Lifted(name, f, graph, graph_updates) for f in branches.values()]
        bound = tuple(f.bound for f in lifted)
        for f in lifted:
            f.bound = ()
        call = self.call = lifted[0].detach((bound, operands), {})
        self.lifted = lifted[0]
        values = call.structure.values()
        tree = Tree(call.args)
        self.arrays = (tree.arrays, values)

        def pure(f: Lifted, k: int) -> Callable[..., Any]:
            def run(arrays: Any) -> Any:
                leaves, values = arrays
                bound, operands = tree.rebuild(leaves)
                return f.run(call, values, (*bound[k], *operands), {})

            return run

        self.staged = [Staged(pure(f, k), self.arrays) for k, f in enumerate(lifted)]
        self._check_results()
        self._check_structures()
        self.sent = self._union()
        self._check_written(call, values)
        self.functions = [_Branch(staged, self.sent) for staged in self.staged]

    def attach(self, result: Any) -> Any:
        """Write what the branch changed to the caller's objects, and return its result."""
        arrays, sent = result
        out, _, note = self.staged[0].result
        note = note if note.patch is None else lift.Note((), self._patch(note.patch))
        if note.patch is None:
            note = lift.Note(tuple(old for _, old in self.sent), None)
        return self.lifted.attach(self.call, Tree(out).rebuild(arrays), sent, note)

    def _union(self) -> list[tuple[int | None, int]]:
        """What any branch writes, as (leaf of the patched graph or None, leaf of the caller's graph or None)."""
        found: dict[Any, None] = {}
        for staged in self.staged:
            found.update(dict.fromkeys(_keys(staged.result[2])))
        return sorted(found, key=lambda key: (key[0] is not None, key))

    def _patch(self, patch: lift.Patch) -> lift.Patch:
        return lift.Patch(
            patch.graphdef,
            patch.origins,
            frozenset().union(*(s.result[2].patch.rewritten for s in self.staged)),
            tuple(new for new, _ in self.sent if new is not None),
            tuple(old for _, old in self.sent),
            patch.outputs,
            patch.restructured,
        )

    # -- agreement ---------------------------------------------------------------------------------------------------
    def _check_results(self) -> None:
        first: Any = jax.tree_util.tree_flatten_with_path(self.staged[0].result[0], is_leaf=is_slot)
        for name, staged in zip(self.names[1:], self.staged[1:]):
            other: Any = jax.tree_util.tree_flatten_with_path(staged.result[0], is_leaf=is_slot)
            if first[1] != other[1]:
                raise StructureError(
                    f"{self.name}: {self.names[0]} returns {first[1]}, and {name} {other[1]}; return the same structure"
                )
            for (path, a), (_, b) in zip(first[0], other[0]):
                if not is_slot(a) and (a.shape, a.dtype) != (b.shape, b.dtype):
                    raise TypeError(
                        f"{self.name}: result{jax.tree_util.keystr(path)} is {a.dtype}{list(a.shape)} from {self.names[0]} "
                        f"and {b.dtype}{list(b.shape)} from {name}; cast or reshape one of them"
                    )

    def _check_structures(self) -> None:
        first = self.staged[0].result[2].patch
        for name, staged in zip(self.names[1:], self.staged[1:]):
            patch = staged.result[2].patch
            if first is None and patch is None:
                continue
            changed = [
                dotted(p.restructured[0])
                for p in (first, patch)
                if p is not None and p.restructured
            ]
            if (
                first is None
                or patch is None
                or first.graphdef != patch.graphdef
                or first.origins != patch.origins
                or first.outputs != patch.outputs
            ):
                what = f" ({self._difference(first, patch) or changed[0]})" if changed else ""
                raise StructureError(
                    f"{self.name}: {self.names[0]} and {name} leave different structures{what}, but one program must do for "
                    "both. Make the same attributes in both, or before them, and return the same objects"
                )

    def _difference(self, first: lift.Patch | None, other: lift.Patch | None) -> str:
        """The first difference between what two branches leave."""
        if first is None or other is None:
            before, patch = self.call.graphdef, first or other
            assert patch is not None
            graphdef = patch.graphdef
            if len(self.call.roots) == 1:  # a patch is of a tuple of the roots
                before = walk((self.call.roots[0],)).graphdef
            pair = (before, graphdef) if first is None else (graphdef, before)
        else:
            pair = (first.graphdef, other.graphdef)
        found = graphdef_diff(*pair)[:2]
        if len(self.call.roots) == 1:
            found = tuple(d._replace(path=d.path[1:]) for d in found)
        return "; ".join(map(str, found))

    def _check_written(self, call: Call, values: list[Any]) -> None:
        """Each branch writes what the others leave as it was, or write, in one shape and dtype."""
        wanted: dict[Any, tuple[str, list[Any]]] = {}
        for name, staged in zip(self.names, self.staged):
            _, sent, note = staged.result
            given = dict(zip(_keys(note), sent))
            for key in self.sent:
                value = given[key] if key in given else values[key[1]]
                avals = [(x.shape, x.dtype) for x in jax.tree.leaves(value)]
                if key not in wanted:
                    wanted[key] = (name, avals)
                elif wanted[key][1] != avals:
                    path = (
                        call.graphdef.paths[key[1]] if key[1] is not None else ("a new Variable",)
                    )
                    raise TypeError(
                        f"{self.name}: {dotted(path)} is {_describe(wanted[key][1])} after {wanted[key][0]} and "
                        f"{_describe(avals)} after {name}; keep its shape and dtype"
                    )


class _Branch:
    """A branch as the pure function that JAX gets; what only other branches write it leaves as it was."""

    def __init__(self, staged: Staged, sent: list[Any]):
        self.staged = staged
        self.sent = sent

    def __call__(self, arrays: Any) -> tuple[list[Any], list[Any]]:
        out, sent, note = self.staged(arrays)
        given = dict(zip(_keys(note), sent))
        before = arrays[1]
        return Tree(out).arrays, [given[k] if k in given else before[k[1]] for k in self.sent]


def _keys(note: lift.Note) -> list[Any]:
    if note.patch is None:
        return [(None, old) for old in note.changed]
    return list(zip(note.patch.sent, note.patch.sent_from))


def _describe(avals: list[Any]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in avals)
