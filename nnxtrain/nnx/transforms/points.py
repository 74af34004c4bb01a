"""Where a function of objects is differentiated, and derivatives on the way in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.nnx.graph.state import to_flat_state
from nnxtrain.nnx.graph.structure import structure_of
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.transforms.autodiff import DiffState, as_state
from nnxtrain.nnx.transforms.axes import below, is_slot, root_node
from nnxtrain.nnx.transforms.lifted import Call, Lifted, dotted
from nnxtrain.nnx.transforms.tree import Tree
from nnxtrain.nnx.variable.variable import Variable


class Points:
    """Where a function is differentiated: for each argument its arrays, or the values of its object's Variables.

    Args:
      skip: the numbers of arguments that are not differentiated.
      filters: for objects, by argument number, which Variables are (default: all that are floating point).

    Attributes:
      values: of all leaves of the call's objects.
      leaves: argument number -> leaf number -> path, for the arguments that are objects.
      at_arrays: the point itself: argument number -> arrays.
    """

    def __init__(
        self,
        lifted: Lifted,
        call: Call,
        skip: Sequence[int] = (),
        filters: Mapping[int, DiffState] = {},
    ):
        self.name = lifted.name
        self.call = call
        self.values = call.structure.values()
        self.leaves: dict[int, dict[int, tuple]] = {}
        self.trees: dict[int, Tree] = {}
        taken: dict[int, int] = {}
        for k, arg in enumerate(call.args):
            if k in skip:
                continue
            if not is_slot(arg):
                self.trees[k] = Tree(arg)
                continue
            self.leaves[k] = self._leaves(arg, filters.get(k))
            for leaf in self.leaves[k]:
                if leaf in taken:
                    raise ValueError(
                        f"{self.name}: {dotted(call.graphdef.paths[leaf])} is shared by argument {taken[leaf]} and argument "
                        f"{k}; pass them in one object"
                    )
                taken[leaf] = k
        self.at_arrays = {k: tree.arrays for k, tree in self.trees.items()} | {
            k: [self.values[i] for i in leaves] for k, leaves in self.leaves.items()
        }

    def _leaves(self, slot: Any, want: DiffState | None) -> dict[int, tuple]:
        structure = self.call.structure
        return {
            leaf: path
            for leaf, path in self.paths(slot).items()
            if isinstance(structure.leaves[leaf], Variable)
            and all(map(_is_inexact, jax.tree.leaves(self.values[leaf])))
            and (want is None or want.map_prefix(path, structure.leaves[leaf]))
        }

    def paths(self, slot: Any) -> dict[int, tuple]:
        """Leaf number -> path, of all that an object holds."""
        graphdef = self.call.graphdef
        return below(graphdef, root_node(graphdef, slot.number, len(self.call.roots)))

    def fill(self, at: Any) -> tuple[list[Any], tuple]:
        """The values of all leaves, and the arguments, at another point."""
        values, args = list(self.values), list(self.call.args)
        for k, tree in self.trees.items():
            args[k] = tree.rebuild(at[k])
        for k, leaves in self.leaves.items():
            for leaf, value in zip(leaves, at[k]):
                values[leaf] = value
        return values, tuple(args)

    def as_state(self, k: int, values: list[Any]) -> Any:
        """Values for an object's differentiated Variables, as the caller sees them."""
        return as_state(self.call.structure, self.leaves[k], values)

    def unpack(self, at: Any) -> tuple:
        """A derivative as the caller sees it: a State for an object, else a tree like the argument."""
        return tuple(
            self.as_state(k, at[k]) if k in self.leaves else self.trees[k].rebuild(at[k])
            for k in sorted(at)
        )

    def pack(self, given: Mapping[int, Any], what: str) -> dict[int, list[Any]]:
        """A derivative from the caller's trees; what an object's tree lacks, or None stands for, is zero."""
        packed = {}
        for k, tree in given.items():
            if tree is None:
                packed[k] = [jax.tree.map(_zero, value) for value in self.at_arrays[k]]
                continue
            if k not in self.leaves:
                packed[k] = Tree(tree).arrays
                continue
            found = values_by_path(tree)
            unknown = set(found) - set(self.paths(self.call.args[k]).values())
            if unknown:
                raise ValueError(
                    f"{self.name}: {what} has {dotted(min(unknown, key=str))} for argument {k}, which has no such Variable"
                )
            packed[k] = [
                found[path] if path in found else jax.tree.map(_zero, self.values[leaf])
                for leaf, path in self.leaves[k].items()
            ]
        return packed


def values_by_path(tree: Any) -> dict[tuple, Any]:
    """Path -> value of a State, a module of values, or a Variable."""
    if isinstance(tree, Object | Variable):
        structure = structure_of(tree)
        return dict(zip(structure.graphdef.paths, structure.values()))
    if not isinstance(tree, Mapping):
        raise TypeError(
            f"for an object, a State or a module of values is needed; got a {type(tree).__name__}"
        )
    return {path: v.raw_value if isinstance(v, Variable) else v for path, v in to_flat_state(tree)}


def _zero(value: Any) -> Any:
    """The zero tangent; of integers and keys it has JAX's own dtype. (From the type alone: the trace may be over.)"""
    aval = jax.typeof(value)
    if jnp.issubdtype(aval.dtype, jnp.inexact):
        return jnp.zeros(aval.shape, aval.dtype)
    return np.zeros(aval.shape, jax.dtypes.float0)


def _is_inexact(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.inexact)
