"""What a Variable's metadata say about its sharding.

``out_sharding=("data", None)`` (also ``sharding_names`` or ``sharding``) names for each axis of the value the mesh axis
that it is split over, or None, or several; ``sharding_rules=[("embed", "model")]`` turn names of the model into those of
the mesh; ``mesh`` is the mesh, by default that of ``jax.set_mesh``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

ANNOTATIONS = ("out_sharding", "sharding_names", "sharding")


def annotated_spec(metadata: Mapping[str, Any]) -> PartitionSpec | None:
    """Return the ``PartitionSpec`` that the metadata name, or None.

    >>> annotated_spec({"out_sharding": ("embed", None), "sharding_rules": [("embed", "model")]})
    P('model', None)
    """
    sharding = next((metadata[name] for name in ANNOTATIONS if metadata.get(name)), None)
    if sharding is None:
        return None
    if isinstance(sharding, NamedSharding):
        sharding = sharding.spec
    rules = dict(metadata.get("sharding_rules") or ())
    return PartitionSpec(*[_renamed(axis, rules) for axis in sharding])


def _renamed(axis: Any, rules: Mapping[str, Any]) -> Any:
    if isinstance(axis, tuple):
        return tuple(rules.get(name, name) for name in axis)
    return rules.get(axis, axis)


def shard_value(value: Any, metadata: Mapping[str, Any]) -> Any:
    """Return ``value`` as the metadata would have it on the mesh; without a mesh, or annotation, as it is.

    Inside a compiled function it is a sharding constraint.

    Raises:
      ValueError: the mesh has no axis of a name (a rule is missing), or the spec does not fit the value's shape.
    """
    spec = annotated_spec(metadata)
    mesh = metadata.get("mesh") or jax.sharding.get_abstract_mesh()
    if spec is None or mesh.empty:
        return value
    sharding = NamedSharding(mesh, spec)
    if mesh.are_all_axes_explicit:
        return jax.sharding.reshard(value, sharding)
    return jax.lax.with_sharding_constraint(value, sharding)
