"""A pytree taken apart into its arrays and the rest."""

from __future__ import annotations

from typing import Any

import jax


class Tree:
    """A pytree as its arrays; all else (Slots, None, strings) stays with the structure."""

    def __init__(self, tree: Any):
        leaves, treedef = jax.tree.flatten(tree)
        self.treedef: Any = treedef
        self.static = [None if is_dynamic(leaf) else (leaf,) for leaf in leaves]
        self.arrays = [leaf for leaf in leaves if is_dynamic(leaf)]

    def rebuild(self, arrays: Any) -> Any:
        rest = iter(arrays)
        return self.treedef.unflatten([next(rest) if s is None else s[0] for s in self.static])


def is_dynamic(leaf: Any) -> bool:
    """True for what JAX can carry: an array or a number."""
    return hasattr(leaf, "dtype") or isinstance(leaf, int | float | complex)
