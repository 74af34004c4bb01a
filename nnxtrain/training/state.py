"""Everything that training changes, as one object, and its form in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from nnxtrain import nnx
from nnxtrain.training.loss_scale import LossScale


class Count(nnx.Variable):
    """A number that training keeps about itself."""


class TrainState(nnx.Module):
    """Model, optimizer, averages and the metrics under way.

    Args:
      model: what is trained.
      tx: the optimizer's transformation.
      metrics: the task's.
      wrt: the Variables that are trained, a filter.
      ema_decay: of an exponential moving average of parameters and batch statistics; None: none is kept.
      loss_scaling: keep a dynamic loss scale, for float16.

    Attributes:
      steps: uint32[], batches seen.
      skipped: uint32[], those of them that were left out, as their loss or gradient was not finite.
      halted: bool[]; no update is made any more, after one that was not finite.
    """

    def __init__(
        self,
        model: nnx.Module,
        tx: optax.GradientTransformation,
        metrics: nnx.MultiMetric,
        *,
        wrt: Any = nnx.Param,
        ema_decay: float | None = None,
        loss_scaling: bool = False,
    ):
        self.model = model
        self.optimizer = nnx.Optimizer(model, tx, wrt=wrt)
        self.metrics = metrics
        self.grad_norm = nnx.metrics.Average("grad_norm")
        averaged = nnx.Any(nnx.Param, nnx.BatchStat)
        self.ema = None if ema_decay is None else nnx.EMA(model, ema_decay, only=averaged)
        self.loss_scale = LossScale() if loss_scaling else None
        # From NumPy, as eager functions of jax.numpy compile a program for each dtype.
        self.steps = Count(jax.device_put(np.zeros((), np.uint32)))
        self.skipped = Count(jax.device_put(np.zeros((), np.uint32)))
        self.halted = Count(jax.device_put(np.zeros((), bool)))

    @property
    def step(self) -> int:
        """Steps made so far."""
        return int(self.steps.value)

    @property
    def averaged(self) -> nnx.Module:
        """The model to evaluate: with the averages in the place of what they average, where such are kept."""
        return self.model if self.ema is None else self.ema.apply_to(self.model)


def abstract(build: Callable[[], TrainState]) -> TrainState:
    """Run ``build`` without computing; :func:`put_arrays` then fills the result."""
    return nnx.eval_shape(build)


def arrays_of(state: nnx.Module) -> dict[str, Any]:
    """The state's arrays as nested dicts with string keys; random keys as their raw uint32 data."""
    return _strings(nnx.to_pure_dict(nnx.state(state), lambda leaf: _raw(leaf.raw_value)))


def put_arrays(state: nnx.Module, arrays: dict[str, Any]) -> None:
    """Put arrays that have the form of :func:`arrays_of` into a state (which may be abstract)."""
    flat = {
        tuple(map(str, path)): (path, leaf)
        for path, leaf in nnx.to_flat_state(nnx.variables(state))
    }
    for names, value in nnx.to_flat_state(arrays):
        _, leaf = flat[names]
        is_key = jnp.issubdtype(leaf.raw_value.dtype, jax.dtypes.prng_key)
        leaf.set_raw_value(_key(value) if is_key else value)


def _raw(value: Any) -> Any:
    if not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if isinstance(value, jax.ShapeDtypeStruct):
        return _placed(jax.eval_shape(jax.random.key_data, value), value.sharding)
    return jax.random.key_data(value)


def _key(data: Any) -> Any:
    if isinstance(data, jax.ShapeDtypeStruct):
        return _placed(jax.eval_shape(jax.random.wrap_key_data, data), data.sharding)
    return jax.random.wrap_key_data(data)


def _placed(shape: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    """The shape, where an array lies with which it shares all axes but the words of keys."""
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[: len(shape.shape)]))
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)


def _strings(tree: Any) -> Any:
    return {str(k): _strings(v) for k, v in tree.items()} if isinstance(tree, dict) else tree
