"""The signature of a trace: everything that decides which compiled program a call needs, and how two signatures differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax

from nnxtrain.nnx.graph.graphdef import GraphDef, Path
from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.inspection.graphdef_diff import ABSENT, Difference, graphdef_diff, identity_advice
from nnxtrain.nnx.inspection.static_text import static_text
from nnxtrain.nnx.inspection.summaries import type_text
from nnxtrain.nnx.transforms.lift import Slot

_SETTINGS = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
    "jax_debug_nans", "jax_debug_infs", "jax_default_prng_impl", "jax_default_device",
)  # fmt: skip


class Abstract(NamedTuple):
    """The type of an array as JAX sees it."""

    text: str  # dtype and shape, and the sharding on an explicit mesh
    weak: bool

    def __str__(self) -> str:
        return self.text + (" (weak)" if self.weak else "")


class Signature(NamedTuple):
    """What one trace was made for.

    Attributes:
      graphdef: the structure of the objects.
      roots: for each object among the arguments, the path of its argument.
      arrays: the type of each array in the objects, by path in the GraphDef.
      arguments: the other arguments: the type of each array, or the static value.
      layout: the nesting of the arguments.
      settings: configuration of JAX, and the mesh.
    """

    graphdef: GraphDef
    roots: tuple[Path, ...]
    arrays: tuple[tuple[Path, Any], ...]
    arguments: tuple[tuple[Path, Abstract | Static], ...]
    layout: Any
    settings: tuple[tuple[str, Any], ...]


class Inputs(NamedTuple):
    """What a call of a compiled function passes in, by the paths that the function's code uses."""

    roots: tuple[Path, ...]
    arrays: list[tuple[Path, Any]]
    arguments: list[tuple[Path, Any]]
    layout: Any


def read_inputs(
    graphdef: GraphDef,
    values: Sequence[Any],
    args: tuple,
    kwargs: dict,
    names: Callable[[int], Path],
    static_argnums: Sequence[int],
) -> Inputs:
    """Name the inputs of a call.

    Args:
      values: the value of each leaf of the GraphDef.
      args, kwargs: the arguments, with a Slot in the place of each object.
      names: the path of an argument given by position; ``static_argnums`` are compiled in.
    """
    given = [(names(i), Static(v) if i in static_argnums else v) for i, v in enumerate(args)]
    given += [((name,), value) for name, value in kwargs.items()]
    roots: dict[int, Path] = {}
    arguments: list[tuple[Path, Any]] = []
    for path, value in given:
        for inner, leaf in _flat(value):
            if isinstance(leaf, Slot):
                roots.setdefault(leaf.number, path + inner)
            else:
                arguments.append((path + inner, leaf))
    tops = tuple(roots[number] for number in sorted(roots))
    arrays = [
        (_named(path, tops) + inner, leaf)
        for path, value in zip(graphdef.paths, values)
        for inner, leaf in _flat(value)
    ]
    layout = jax.tree.structure([value for _, value in given])
    return Inputs(tops, arrays, arguments, layout)


def positional_names(fun: Callable) -> Callable[[int], Path]:
    """From the number of a positional argument to its path: ("x",), or ("args", 0) in ``*args``."""
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "argument")
    return partial(_positional_name, names, rest)


def _positional_name(names: list[str], rest: str, index: int) -> Path:
    return (names[index],) if index < len(names) else (rest, index - len(names))


def signature_of(graphdef: GraphDef, inputs: Inputs) -> Signature:
    """The signature of a trace with these inputs."""
    mesh = jax.sharding.get_abstract_mesh()
    settings = [(name, getattr(jax.config, name)) for name in _SETTINGS]
    return Signature(
        graphdef,
        inputs.roots,
        tuple((path, _type_of(leaf)) for path, leaf in inputs.arrays),
        tuple((path, _type_of(leaf)) for path, leaf in inputs.arguments),
        inputs.layout,
        (*settings, ("mesh", None if mesh.empty else mesh)),
    )


def _flat(value: Any) -> list[tuple[Path, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(
        value, is_leaf=lambda v: isinstance(v, Slot) or v is None
    )
    return [(tuple(map(_key, path)), leaf) for path, leaf in leaves]


def _type_of(value: Any) -> Abstract | Static:
    if isinstance(value, Static):
        return value
    if not hasattr(value, "dtype"):
        return Static(value)
    aval = jax.typeof(value)
    text = type_text(value)
    if any(entry is not None for entry in getattr(getattr(aval, "sharding", None), "spec", ())):
        text += f" sharded {static_text(aval.sharding.spec)}"
    return Abstract(text, bool(getattr(aval, "weak_type", False)))


def _key(entry: Any) -> Any:
    for name in ("key", "idx", "name"):
        if hasattr(entry, name):
            return getattr(entry, name)
    return str(entry)


def signature_diff(old: Signature, new: Signature) -> tuple[Difference, ...]:
    """The differences between two signatures, by the paths that the function's code uses ("model.dropout.rate")."""
    found: list[Difference] = []
    if len(old.roots) == len(new.roots):
        found += [
            difference._replace(path=_named(difference.path, new.roots))
            for difference in graphdef_diff(old.graphdef, new.graphdef)
        ]
    else:
        for path in sorted({*old.roots, *new.roots} - ({*old.roots} & {*new.roots}), key=str):
            texts = ["an object" if path in roots else ABSENT for roots in (old.roots, new.roots)]
            found.append(Difference(path, texts[0], texts[1]))
    arrays = dict(new.arrays)
    for path, one in old.arrays:  # what only one of them has, the GraphDefs tell
        if path in arrays and one != arrays[path]:
            found.append(_array_difference(path, one, arrays[path], advice=""))
    before, after = dict(old.arguments), dict(new.arguments)
    for path in {**before, **after}:
        one, two = before.get(path), after.get(path)
        if one != two:
            found.append(_argument_difference(path, one, two))
    if not found and old.layout != new.layout:
        found.append(Difference(("arguments",), str(old.layout), str(new.layout)))
    for (name, one), (_, two) in zip(old.settings, new.settings):
        if one != two:
            found.append(Difference((name,), static_text(one), static_text(two)))
    return tuple(found)


def _named(path: Path, roots: tuple[Path, ...]) -> Path:
    """A path in the GraphDef of the roots as a path from the function's arguments."""
    if len(roots) == 1:
        return (*roots[0], *path)
    if path and isinstance(path[0], int) and path[0] < len(roots):
        return (*roots[path[0]], *path[1:])
    return path


def _argument_difference(path: Path, one: Any, two: Any) -> Difference:
    if isinstance(one, Abstract) and isinstance(two, Abstract):
        return _array_difference(path, one, two, "another batch size? pad or drop the last batch")
    texts = [
        ABSENT if v is None else str(v) if isinstance(v, Abstract) else static_text(v.value)
        for v in (one, two)
    ]
    if isinstance(one, Static) and isinstance(two, Static):
        return Difference(path, texts[0], texts[1], identity_advice(one.value, two.value))
    return Difference(path, texts[0], texts[1])


def _array_difference(path: Path, one: Abstract, two: Abstract, advice: str) -> Difference:
    if one.text == two.text:
        advice = (
            "a Python number is a weak type; pass jnp.asarray(value, dtype), or always the number"
        )
    elif _without_batch(one.text) != _without_batch(two.text):
        advice = ""
    return Difference(path, str(one), str(two), advice)


def _without_batch(text: str) -> str:
    """The type but for the first dimension."""
    dtype, _, shape = text.partition("[")
    return f"{dtype}[{shape.partition(',')[2]}" if "," in shape else text
