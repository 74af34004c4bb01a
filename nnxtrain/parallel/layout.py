"""Which array of a run lies where: batches cut by rows, parameters by rules, and what goes with a parameter as it does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from nnxtrain import nnx
from nnxtrain.config.schema import RuleConfig
from nnxtrain.errors import InputError
from nnxtrain.parallel.mesh import ROWS
from nnxtrain.parallel.rules import partition

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """The mesh, and how each parameter is cut over it.

    Attributes:
      mesh: the devices; abstract in a plan for others than those that are here.
      specs: of the model's parameters, by path; what is not among them is whole on every device.
      shapes: of the same.
    """

    mesh: Mesh | AbstractMesh
    specs: Mapping[Path, PartitionSpec]
    shapes: Mapping[Path, tuple[int, ...]]

    @classmethod
    def of(
        cls, mesh: Mesh | AbstractMesh, rules: Sequence[RuleConfig], model: nnx.Module
    ) -> Layout:
        """Lay out a model, which may be abstract.

        Raises:
          InputError: a rule does not fit the model.
        """
        parameters = nnx.state(model, nnx.Param)
        shapes = {_names(path): tuple(leaf.shape) for path, leaf in nnx.to_flat_state(parameters)}
        dotted = {".".join(path): shape for path, shape in shapes.items()}
        annotated = {
            ".".join(_names(path)): leaf.get_raw_value()
            for path, leaf in nnx.to_flat_state(nnx.get_partition_spec(parameters))
        }
        specs = partition(rules, dotted, dict(mesh.shape), annotated)
        return cls(mesh, {path: specs[".".join(path)] for path in shapes}, shapes)

    @property
    def is_single(self) -> bool:
        """Whether there is one device, so that nothing needs to be said about places."""
        return self.mesh.size == 1

    @property
    def row_parts(self) -> int:
        """Into how many parts a batch is cut."""
        return int(np.prod([self.mesh.shape[axis] for axis in ROWS]))

    @cached_property
    def replicated(self) -> NamedSharding:
        """Whole on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows(self, leading: int = 0) -> NamedSharding:
        """Cut along the axis after ``leading`` others."""
        return NamedSharding(self.mesh, PartitionSpec(*[None] * leading, ROWS))

    def sharding(self, path: Sequence[Any], shape: Sequence[int]) -> NamedSharding:
        """Where an array of the training state lies: as the parameter whose path ends its own, where their shapes agree.

        So the optimizer's moments and the averages follow their parameters, at whatever depth they are kept.
        """
        names, shape = _names(path), tuple(shape)
        for start in range(len(names)):
            if self.shapes.get(names[start:]) == shape:
                return NamedSharding(self.mesh, self.specs[names[start:]])
        return self.replicated

    def shardings(self, tree: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
        """Return :meth:`sharding` of every array (or its shape) in nested dicts."""
        return {
            name: self.shardings(value, (*path, name))
            if isinstance(value, Mapping)
            else self.sharding((*path, name), value.shape)
            for name, value in tree.items()
        }

    def place(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return the shapes in nested dicts, each with its :meth:`sharding`."""
        return jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            dict(tree),
            self.shardings(tree),
        )

    def constrain(self, path: Sequence[Any], value: Any) -> Any:
        """Inside a compiled function: the value, to come out where an array of that path belongs."""
        if self.is_single:
            return value
        return jax.lax.with_sharding_constraint(value, self.sharding(path, value.shape))

    @contextlib.contextmanager
    def gathered(self, model: nnx.Module) -> Iterator[None]:
        """Inside a differentiated function: parameters are whole along the axes that cut batches, for the length of a block.

        Left alone, XLA may rather cut the work along a parameter's cut than along the batch, and add up activations over
        all devices in every layer. Their gradients come out cut as they are.
        """
        before = []
        for path, variable in nnx.to_flat_state(nnx.variables(model, nnx.Param)):
            spec = self.specs.get(_names(path), PartitionSpec())
            if not self.is_single and (whole := _without(spec, ROWS)) != spec:
                value = variable.get_raw_value()
                before.append((variable, value))
                places = NamedSharding(self.mesh, whole), NamedSharding(self.mesh, spec)
                variable.set_raw_value(_gather(value, *places))
        try:
            yield
        finally:
            for variable, value in before:
                variable.set_raw_value(value)

    def spread(self, batch: Mapping[str, Any], leading: int = 0) -> dict[str, Any]:
        """Inside a compiled function: the arrays, cut along the axis after ``leading`` others."""
        if self.is_single:
            return dict(batch)
        return {
            k: jax.lax.with_sharding_constraint(v, self.rows(leading)) for k, v in batch.items()
        }

    def replicate(self, module: nnx.Module) -> None:
        """Put all Variables of a module whole on every device."""
        if self.is_single:
            return
        for _, variable in nnx.to_flat_state(nnx.variables(module)):
            variable.set_raw_value(jax.device_put(variable.get_raw_value(), self.replicated))

    def local_rows(self, count: int) -> np.ndarray | None:
        """The rows of a batch of ``count`` that this process's devices work on, int64[n]; None: all."""
        if jax.process_count() == 1:
            return None
        places: Any = self.rows().addressable_devices_indices_map((count,)).values()
        return np.unique(np.concatenate([np.arange(count)[rows] for (rows,) in places]))

    def put(self, batch: Mapping[str, np.ndarray], count: int, leading: int = 0) -> dict[str, Any]:
        """Put a batch on the devices, cut by rows.

        Args:
          batch: arrays of the rows :meth:`local_rows`, which come after ``leading`` other axes.
          count: rows of the whole batch.
        """
        if self.is_single:
            return dict(batch)
        sharding, rows = self.rows(leading), self.local_rows(count)
        if rows is None:
            return {name: jax.device_put(array, sharding) for name, array in batch.items()}

        def placed(array: np.ndarray) -> jax.Array:
            def part(index: Any) -> np.ndarray:
                start, stop, _ = index[leading].indices(count)
                first = int(np.searchsorted(rows, start))
                return array[(*index[:leading], slice(first, first + stop - start))]

            shape = (*array.shape[:leading], count, *array.shape[leading + 1 :])
            return jax.make_array_from_callback(shape, sharding, part)

        return {name: placed(np.asarray(array)) for name, array in batch.items()}

    def check_rows(self, key: str, count: int, accumulate: int = 1) -> None:
        """Raise an InputError, which names ``key``, for a batch of ``count`` that does not give each device as much."""
        parts = self.row_parts * accumulate
        if count % parts:
            fitting = max(parts, round(count / parts) * parts)
            times = f" x trainer.accumulate={accumulate}" if accumulate > 1 else ""
            raise InputError(
                f"{key}={count} cannot be cut into {parts} equal parts (mesh data x fsdp = {self.row_parts}{times}); "
                f"use {key}={fitting}"
            )


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(value: jax.Array, whole: NamedSharding, cut: NamedSharding) -> jax.Array:
    """The value, constrained to lie in one way; its gradient, in another."""
    return jax.lax.with_sharding_constraint(value, whole)


def _gather_forward(value: jax.Array, whole: NamedSharding, cut: NamedSharding) -> Any:
    return _gather(value, whole, cut), None


def _gather_backward(whole: NamedSharding, cut: NamedSharding, _: None, gradient: jax.Array) -> Any:
    return (jax.lax.with_sharding_constraint(gradient, cut),)


_gather.defvjp(_gather_forward, _gather_backward)


def _without(spec: PartitionSpec, axes: Sequence[str]) -> PartitionSpec:
    """A spec in which some axes cut nothing.

    >>> _without(PartitionSpec("model", ("fsdp", "model"), "fsdp"), ["data", "fsdp"])
    P('model', 'model')
    """
    entries = [(entry,) if isinstance(entry, str) else entry or () for entry in spec]
    left = [tuple(axis for axis in entry if axis not in axes) for entry in entries]
    plain: list[Any] = [entry[0] if len(entry) == 1 else entry or None for entry in left]
    while plain and plain[-1] is None:
        plain.pop()
    return PartitionSpec(*plain)


def _names(path: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, path))
