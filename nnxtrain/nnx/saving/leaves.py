"""The values of anything by path, and the way back: what every format of saving rests on.

"Anything" is an Object, a Variable, or a pytree of them with arrays, Python scalars and strings. An Object or
Variable that is reached twice counts once, under the path that comes first. What is static (numbers and functions
that are attributes of an Object, static fields of a dataclass) is structure, and no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import jax

from nnxtrain.nnx import trace
from nnxtrain.nnx.errors import FrozenError
from nnxtrain.nnx.graph.graphdef import PytreeDef
from nnxtrain.nnx.graph.structure import ArraySlot, FixedArray, Structure, _path_key, walk
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.saving.values import Spec, spec_of
from nnxtrain.nnx.variable.variable import Variable

Path = tuple[str, ...]


def _is_object(value: Any) -> bool:
    return isinstance(value, Object | Variable)


class Leaves:
    """What a target holds.

    Attributes:
      paths: of each value, as strings: an int key is its numeral, as most formats know strings only.
      values: arrays, ``jax.ShapeDtypeStruct``, Python scalars, strings.
      zero_when_missing: the paths of Variables that say that an older file may lack them (``missing_is_zero``).
      aliases: further paths under which a shared value is reached -> its path in ``paths``.

    Raises:
      ValueError: two paths differ only by the type of their keys (1 and "1").

    >>> from nnxtrain import nnx
    >>> leaves = Leaves({"model": nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "step": 5})
    >>> [".".join(path) for path in leaves.paths]
    ['model.kernel', 'model.bias', 'step']
    """

    def __init__(self, target: Any):
        found, self._tree = jax.tree_util.tree_flatten_with_path(target, is_leaf=_is_object)
        named = [(tuple(_path_key((entry,)) for entry in path), value) for path, value in found]
        self._places = [_is_object(value) for _, value in named]
        roots = [(path, value) for path, value in named if _is_object(value)]
        plain = [(path, value) for path, value in named if not _is_object(value)]
        self._roots = tuple(value for _, value in roots)
        self._structure: Structure | None = walk(self._roots) if roots else None
        self.paths: list[Path] = []
        self.values: list[Any] = []
        self.zero_when_missing: set[Path] = set()
        self._value_trees: list[Any] = []
        if self._structure is not None:
            for (root, *below), leaf in zip(self._structure.graphdef.paths, self._structure.leaves):
                parts, tree = jax.tree_util.tree_flatten_with_path(leaf._value)
                self._value_trees.append(tree)
                for inner, value in parts:
                    keys = (_path_key((entry,)) for entry in inner)
                    self._add((*roots[root][0], *below, *keys), value)
                    if isinstance(leaf, Variable) and leaf._metadata.get("missing_is_zero"):
                        self.zero_when_missing.add(self.paths[-1])
        for path, value in plain:
            self._add(path, value)
        self.aliases = self._find_aliases([path for path, _ in roots])
        self._check_distinct()

    def _add(self, path: tuple, value: Any) -> None:
        self.paths.append(tuple(map(str, path)))
        self.values.append(value)

    def _check_distinct(self) -> None:
        seen: set[Path] = set()
        for path in self.paths:
            if path in seen:
                raise ValueError(
                    f"two values have the path {'.'.join(path)}: keys are saved as strings, and two keys of one dict "
                    "give the same string; rename one"
                )
            seen.add(path)

    def _find_aliases(self, prefixes: list[tuple]) -> dict[Path, Path]:
        """Further ways to shared nodes; those that lead back to where they come from (cycles) are none."""
        if self._structure is None:
            return {}
        graphdef = self._structure.graphdef
        nodes = graphdef.node_paths
        aliases: dict[Path, Path] = {}
        for number, attributes in enumerate(graphdef.attributes):
            for key, ref in attributes:
                way = (*nodes[number], key)
                if (
                    type(ref) is not int
                    or nodes[ref] == way
                    or way[: len(nodes[ref])] == nodes[ref]
                ):
                    continue
                for first in graphdef.paths:
                    if first[: len(nodes[ref])] == nodes[ref]:
                        other = (*way, *first[len(nodes[ref]) :])
                        aliases[_name(prefixes, other)] = _name(prefixes, first)
        return aliases

    def specs(self) -> dict[Path, Spec]:
        """The kind of each value, by path. Raises a TypeError for what no format can hold."""
        return {
            path: spec_of(".".join(path), value) for path, value in zip(self.paths, self.values)
        }

    def rebuild(self, values: Sequence[Any]) -> Any:
        """Return a new target with these values, in the order of ``paths``. The old one stays as it is."""
        graph, plain = self._sorted(values)
        roots = self._structure.graphdef.build(graph)[0] if self._structure is not None else ()
        return self._with(roots, plain)

    def write(self, values: Sequence[Any]) -> Any:
        """Put the values into the target's Objects and Variables, in place; return the target, its plain leaves replaced.

        Raises, before anything is written, what a write to one of the Variables raises.
        """
        graph, plain = self._sorted(values)
        if self._structure is not None:
            for leaf in self._structure.leaves:
                _check_writable(leaf)
            for leaf, value in zip(self._structure.leaves, graph):
                if isinstance(leaf, Variable):
                    leaf.set_raw_value(value)
                elif isinstance(leaf, ArraySlot):
                    leaf._value = value
            self._replace_immutable(graph)
        return self._with(self._roots, plain)

    def _replace_immutable(self, graph: list[Any]) -> None:
        """Arrays in tuples and the like: the attribute that holds them is assigned anew."""
        structure = self._structure
        if structure is None or not any(isinstance(leaf, FixedArray) for leaf in structure.leaves):
            return
        graphdef = structure.graphdef
        known = {number: node for number, node in enumerate(structure.nodes) if _is_object(node)}
        made = graphdef.build(graph, known)
        for number, node in known.items():
            for key, ref in graphdef.attributes[number]:
                if type(ref) is int and isinstance(graphdef.nodes[ref], PytreeDef):
                    node._write(key, made[ref])

    def _sorted(self, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The values of the graph, and those of the pytree around it."""
        rest = iter(values)
        graph = [
            jax.tree.unflatten(tree, list(islice(rest, tree.num_leaves)))
            for tree in self._value_trees
        ]
        return graph, list(rest)

    def _with(self, roots: Sequence[Any], plain: Sequence[Any]) -> Any:
        objects, others = iter(roots), iter(plain)
        return jax.tree.unflatten(
            self._tree, [next(objects if is_object else others) for is_object in self._places]
        )


def _name(prefixes: list[tuple], path: tuple) -> Path:
    root, *below = path
    return tuple(map(str, (*prefixes[root], *below)))


def _check_writable(leaf: Any) -> None:
    if isinstance(leaf, Variable):
        if leaf._frozen:
            raise FrozenError(f"{trace.name_of(leaf, None)} cannot be loaded inside nnx.frozen")
        trace.check_write(leaf)
