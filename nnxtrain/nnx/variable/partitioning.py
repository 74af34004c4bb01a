"""Shardings by annotation: to make annotated values, and to read annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from nnxtrain.nnx.graph.functional import split
from nnxtrain.nnx.graph.structure import walk
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.transforms.abstract import eval_shape
from nnxtrain.nnx.variable.annotated_sharding import annotated_spec, shard_value
from nnxtrain.nnx.variable.metadata import VariableMetadata
from nnxtrain.nnx.variable.variable import Variable


def with_partitioning(
    initializer: Callable[..., Any],
    sharding: Any,
    mesh: Mesh | AbstractMesh | None = None,
    **metadata: Any,
) -> Callable[..., VariableMetadata]:
    """Let what ``initializer`` makes carry a sharding, and have it, where there is a mesh.

    Args:
      sharding: for each axis the name of a mesh axis, None, or a tuple of names; or a ``PartitionSpec``.
      mesh: by default that of ``jax.set_mesh`` at the time; without one the value stays where it is.
      **metadata: more metadata of the Variable, such as ``sharding_rules``.

    >>> import jax
    >>> from nnxtrain import nnx
    >>> init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"))
    >>> with jax.set_mesh(jax.make_mesh((1,), ("model",))):
    ...     layer = nnx.Linear(2, 4, kernel_init=init, rngs=nnx.Rngs(0))
    >>> layer.kernel.out_sharding, layer.kernel.value.sharding.spec
    ((None, 'model'), P(None, 'model'))
    """
    given = {} if mesh is None else {"mesh": mesh}
    return partial(_sharded, initializer, {"out_sharding": sharding, **given, **metadata})


def _sharded(
    initializer: Callable[..., Any], metadata: dict[str, Any], /, *args: Any, **kwargs: Any
) -> VariableMetadata:
    value = initializer(*args, **kwargs)
    return VariableMetadata(shard_value(value, metadata), metadata=metadata)


def get_partition_spec(tree: Any) -> Any:
    """Replace each Variable's value by its ``PartitionSpec``: ``PartitionSpec()`` where no annotation says another.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> state = nnx.State({"w": nnx.Param(jnp.ones((4, 2)), out_sharding=("data", None)), "b": nnx.Param(jnp.ones(2))})
    >>> specs = nnx.get_partition_spec(state)
    >>> specs.w.raw_value, specs.b.raw_value
    (P('data', None), P())
    """
    return _map_leaves(tree, _spec)


def get_named_sharding(tree: Any, mesh: Mesh | AbstractMesh) -> Any:
    """Replace each Variable's value by its ``NamedSharding`` on ``mesh``, as :func:`get_partition_spec` says."""
    return _map_leaves(tree, lambda metadata, value: _on(mesh, _spec(metadata, value)))


def get_abstract_model(init_fn: Callable[[], Any], mesh: Mesh) -> tuple[Any, Any]:
    """Return ``nnx.split`` of the model that ``init_fn()`` makes, abstract: shapes and dtypes with shardings on ``mesh``.

    >>> from nnxtrain import nnx
    >>> mesh = jax.make_mesh((1,), ("model",))
    >>> graphdef, state = nnx.get_abstract_model(lambda: nnx.Linear(2, 4, rngs=nnx.Rngs(0)), mesh)
    >>> state.kernel.value.shape, state.kernel.value.sharding.spec
    ((2, 4), P())
    """
    with jax.set_mesh(mesh):
        graphdef, state = split(eval_shape(init_fn))

    def abstract(metadata: Mapping[str, Any], value: Any) -> Any:
        place = _on(mesh, _spec(metadata, value))
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), value)

    return graphdef, _map_leaves(state, abstract)


def with_annotated_shardings(node: Any) -> Any:
    """Give the abstract values of annotated Variables their shardings on the mesh (in place); return the node."""
    found = [v for v in jax.tree.leaves(node, is_leaf=_is_node) if _is_node(v)]
    for leaf in walk(tuple(found)).leaves if found else ():
        if isinstance(leaf, Variable) and isinstance(leaf.raw_value, jax.ShapeDtypeStruct):
            value, spec = leaf.raw_value, annotated_spec(leaf.get_metadata())
            mesh = leaf.get_metadata("mesh", None) or jax.sharding.get_mesh()
            if spec is not None and not mesh.empty:
                place = NamedSharding(mesh, spec)
                leaf.set_raw_value(jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=place))
    return node


def _spec(metadata: Mapping[str, Any], value: Any) -> PartitionSpec | None:
    spec = annotated_spec(metadata)
    return PartitionSpec() if spec is None and hasattr(value, "shape") else spec


def _on(mesh: Mesh | AbstractMesh, spec: PartitionSpec | None) -> NamedSharding | None:
    return None if spec is None else NamedSharding(mesh, spec)


def _map_leaves(tree: Any, f: Callable[[Mapping[str, Any], Any], Any]) -> Any:
    """Map Variables (by metadata and value) and arrays."""

    def apply(leaf: Any) -> Any:
        if isinstance(leaf, Variable):
            return leaf.replace(f(leaf.get_metadata(), leaf.raw_value))
        return f({}, leaf)

    return jax.tree.map(apply, tree, is_leaf=lambda x: isinstance(x, Variable))


def _is_node(value: Any) -> bool:
    return isinstance(value, Object | Variable)
