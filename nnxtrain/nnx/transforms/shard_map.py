"""``nnx.shard_map``: run a function on the shards of its arguments, one on each device."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import jax
from jax.sharding import PartitionSpec

from nnxtrain.nnx.transforms.axes import (
    Grouped,
    LeafAxes,
    StateSharding,
    entries_of_outputs,
    entries_of_roots,
    for_each_argument,
    is_entry,
    plain,
    spread,
)
from nnxtrain.nnx.transforms.lifted import Lifted, positional
from nnxtrain.nnx.variable.variable import MISSING, MissingType


def shard_map(
    f: Any = MISSING,
    *,
    mesh: Any,
    in_specs: Any,
    out_specs: Any,
    axis_names: Set[Any] = frozenset(),
    check_vma: bool = True,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Map ``f`` over the shards of its arguments (``jax.shard_map``).

    What ``f`` writes to a Variable comes back with the spec the Variable came in with. A replicated Variable must be written
    with the same value on all devices (``jax.lax.pmean`` first).

    Args:
      f: the function; without it a decorator is returned. The object of a bound method is replicated.
      mesh: a ``jax.sharding.Mesh``.
      in_specs: for each positional argument a ``PartitionSpec``, a tree of them, or for objects a :class:`StateSharding`.
        None is ``PartitionSpec()``.
      out_specs: the same for the result.
      axis_names, check_vma: as in ``jax.shard_map``.
      graph: False makes shared references an error.
      graph_updates: False makes a change of structure an error.

    >>> import jax, jax.numpy as jnp
    >>> from jax.sharding import PartitionSpec as P
    >>> from nnxtrain import nnx
    >>> mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> run = nnx.shard_map(lambda m, x: m(x), mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data"))
    >>> run(model, jnp.ones((4, 2))).shape
    (4, 3)
    """
    options: dict[str, Any] = {
        "mesh": mesh, "in_specs": in_specs, "out_specs": out_specs, "axis_names": axis_names, "check_vma": check_vma,
        "graph": graph, "graph_updates": graph_updates,
    }  # fmt: skip
    if isinstance(f, MissingType):
        return lambda f: ShardMapFunction(f, **options)
    return ShardMapFunction(f, **options)


class ShardMapFunction(Lifted):
    """A function of shards; made by :func:`shard_map`."""

    def __init__(
        self,
        f: Any,
        *,
        mesh: Any,
        in_specs: Any,
        out_specs: Any,
        axis_names: Any,
        check_vma: bool,
        graph: bool | None,
        graph_updates: bool | None,
    ):
        super().__init__("nnx.shard_map", f, graph, graph_updates)
        self.in_specs = tuple(in_specs) if isinstance(in_specs, list) else in_specs
        self.out_specs = _specs(out_specs)
        self.options = {"mesh": mesh, "axis_names": frozenset(axis_names), "check_vma": check_vma}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = positional(self.fun, (*self.bound, *args), kwargs)
        bound = len(self.bound)
        call = self.detach(args[bound:], kwargs)
        if call.kwargs:
            raise TypeError(
                f"nnx.shard_map: {next(iter(call.kwargs))} is keyword-only and has no entry in in_specs; bind it with "
                "functools.partial or take it positionally"
            )
        specs = _specs(for_each_argument(self.in_specs, len(args), bound))
        where = spread("nnx.shard_map in_specs", specs, call.args)
        axes = LeafAxes(
            "nnx.shard_map in_specs",
            call.structure,
            entries_of_roots(where, len(call.roots), PartitionSpec()),
        )
        out_specs = [entry for entry, _, _ in spread("out_specs", self.out_specs, self.out_specs)]
        groups = Grouped(*axes.roots, *out_specs)

        def pure(values: Any, args: tuple) -> Any:
            out, sent, note = self.run(call, values, args, {})
            return out, groups.group(sent, axes.of_sent(note, self._outputs(out))), note

        out, grouped, note = jax.shard_map(
            pure,
            in_specs=(axes.of, plain(specs, PartitionSpec())),
            out_specs=(plain(self.out_specs, PartitionSpec()), groups.axes, PartitionSpec()),
            **self.options,
        )(call.structure.values(), call.args)
        sent = groups.ungroup(grouped, axes.of_sent(note, self._outputs(out)))
        return self.attach(call, out, sent, note)

    def _outputs(self, out: Any) -> list[Any]:
        return entries_of_outputs("nnx.shard_map out_specs", self.out_specs, out)


def _specs(prefix: Any) -> Any:
    """A prefix of PartitionSpecs alone: None is replicated, a NamedSharding stands for its spec."""
    return jax.tree.map(_spec, prefix, is_leaf=is_entry)


def _spec(entry: Any) -> Any:
    if isinstance(entry, StateSharding):
        return StateSharding(tuple(zip(entry.filters, map(_spec, entry.shardings))))
    if entry is None:
        return PartitionSpec()
    return entry.spec if isinstance(entry, jax.sharding.NamedSharding) else entry
