"""Objects and Variables as JAX pytrees. An Object's children are its attributes that hold data, all else is static.

A pytree is a tree, so an object graph with sharing or a cycle raises and names ``nnx.split``. What a plain
``jax.jit`` writes into a module stays inside: use ``nnx.jit``.
"""

from __future__ import annotations

from typing import Any

import jax

from nnxtrain.nnx.errors import StructureError
from nnxtrain.nnx.graph.static import Static


def register_object(cls: type) -> None:
    """Register an Object class with JAX."""

    def split(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        from nnxtrain.nnx.graph.structure import holds_data, structure_of

        shared = structure_of(obj).graphdef.shared_path
        if shared is not None:
            raise StructureError(
                f"{type(obj).__name__} is no tree: {'.'.join(map(str, shared)) or 'it'} is reached more than once. "
                "Take it apart with nnx.split before a JAX function, or use the transform of nnx."
            )
        data: list[tuple[Any, Any]] = []
        rest: list[tuple[Any, Any]] = []
        for key, value in obj._graph_items():
            if holds_data(value):
                data.append((key, value))
                rest.append((key, _CHILD))
            else:
                rest.append((key, Static(value)))
        return data, tuple(rest)

    def flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        data, rest = split(obj)
        return [(_key(key), value) for key, value in data], rest

    def flatten(obj: Any) -> tuple[list[Any], tuple[Any, ...]]:
        data, rest = split(obj)
        return [value for _, value in data], rest

    def unflatten(rest: tuple[Any, ...], children: Any) -> Any:
        from nnxtrain.nnx.module.module import new_object

        values = iter(children)
        obj = new_object(cls)
        obj._graph_assign([(k, next(values) if v is _CHILD else v.value) for k, v in rest])
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


def register_variable(cls: Any) -> None:
    """Register a Variable class with JAX: one child, the value; the metadata are static."""
    key = jax.tree_util.GetAttrKey("value")

    def flatten(variable: Any) -> tuple[tuple[Any], Static]:
        return (variable._value,), Static(variable._metadata)

    def flatten_with_keys(variable: Any) -> tuple[tuple[Any], Static]:
        return ((key, variable._value),), Static(variable._metadata)

    def unflatten(metadata: Static, children: Any) -> Any:
        (value,) = children
        return cls.from_metadata(value, metadata.value)

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


_CHILD = "child"


def _key(key: Any) -> Any:
    if isinstance(key, str):
        return jax.tree_util.GetAttrKey(key)
    return jax.tree_util.SequenceKey(key) if isinstance(key, int) else jax.tree_util.DictKey(key)
