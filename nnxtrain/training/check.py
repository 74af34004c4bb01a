"""Look a whole run over before it is started: what it trains, what that costs, whether it learns."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh

from nnxtrain import nnx
from nnxtrain.data.placement import resident, resident_shapes
from nnxtrain.errors import RunError
from nnxtrain.training.host_values import host_values
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_train_step


@dataclass(frozen=True)
class Estimate:
    """What a training step costs, in bytes for each device, and in floating-point operations of all together.

    Attributes:
      parameters: how many numbers are trained, and how many are not.
      state: bytes of parameters, optimizer, averages and the like by name; held all the time.
      data: bytes of the examples that live on the device.
      temporary: bytes that the compiled step needs beside that; None where it was not compiled.
      step_flops: operations of one step, as XLA counts them (an addition and a multiplication are two).
    """

    parameters: tuple[int, int]
    state: dict[str, int]
    data: int
    temporary: int | None
    step_flops: int | None


@dataclass(frozen=True)
class Trial:
    """Steps that were made to see whether they work.

    Attributes:
      first_seconds: until the first step was made, compiling included.
      step_seconds: of one step, the median of the others; None after a single one.
      losses: of each step, before its update (or the task's first metric, where it has none called loss).
    """

    first_seconds: float
    step_seconds: float | None
    losses: list[float] = field(default_factory=list)


def estimate(session: Session, *, compiled: bool = True) -> Estimate:
    """Trace a training step by shapes alone, and say what it costs.

    Args:
      compiled: compile it too, for its temporary memory; not where the devices are only planned for.

    Raises:
      InputError: the model, or the model with this data and task, does not work.
    """
    state = session.abstract()
    trained = _variables(state.model, state.optimizer.wrt)
    others = [v for v in _variables(state.model, nnx.Param) if not any(v is w for w in trained)]
    parts = {"parameters": state.model, "optimizer": state.optimizer, "averages": state.ema}
    arrays = resident_shapes(session.placed.train)
    planned = isinstance(session.layout.mesh, AbstractMesh)
    step = lower_step(session.on_one_device() if planned else session)
    cost: Any = step.cost_analysis() or {}
    temporary = None
    if compiled and not planned:
        memory: Any = step.compile().memory_analysis()
        temporary = getattr(memory, "temp_size_in_bytes", None)
    return Estimate(
        (_count(trained), _count(others)),
        {name: _bytes(_variables(part)) for name, part in parts.items() if part is not None},
        sum(a.size * a.dtype.itemsize for a in arrays.values()),
        temporary,
        int(cost["flops"]) if cost.get("flops", 0) > 0 else None,
    )


def lower_step(session: Session) -> Any:
    """Return the training step (``jax.stages.Lowered``), traced on arrays that lie where training has them."""
    layout, source = session.layout, session.placed.train
    batch = source.batch(np.arange(session.config.trainer.batch_size))
    rows, whole = (None, None) if layout.is_single else (layout.rows(), layout.replicated)
    shapes = {k: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=rows) for k, a in batch.items()}
    arrays = {
        k: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole)
        for k, a in resident_shapes(source).items()
    }
    return session.train_steps[1].lower(session.abstract(), shapes, arrays)


def one_step(session: Session) -> Trial:
    """Make one training step. Raises RunError where it is not finite."""
    return _steps(session, session.create(), 1)


def overfit(session: Session, steps: int) -> Trial:
    """Train on the first batch alone: a model, loss and optimizer that work bring its loss far down.

    Raises RunError where a step is not finite.
    """
    return _steps(session, session.create(), steps)


def _steps(session: Session, state: TrainState, count: int) -> Trial:
    source = session.placed.train
    size = session.config.trainer.batch_size
    batch = session.layout.put(source.batch(np.arange(size)), size)
    arrays = resident(source)
    step = make_train_step(
        session.task, parts=session.config.trainer.accumulate, layout=session.layout
    )
    losses, seconds = [], []
    for number in range(count):
        began = time.perf_counter()
        halted = bool(step(state, batch, arrays))
        seconds.append(time.perf_counter() - began)
        if halted:
            raise RunError(f"step {number + 1} on the first batch is not finite")
        metrics = host_values(state.metrics.compute())
        losses.append(metrics.get("loss", next(iter(metrics.values()))))
        state.metrics.reset()
    return Trial(seconds[0], float(np.median(seconds[1:])) if count > 1 else None, losses)


def _variables(node: Any, *filters: Any) -> list[nnx.Variable]:
    return [v for _, v in nnx.to_flat_state(nnx.variables(node, *filters))]


def _count(variables: list[nnx.Variable]) -> int:
    return sum(v.raw_value.size for v in variables)


def _bytes(variables: list[nnx.Variable]) -> int:
    """Of the parts on one device."""
    values = [v.raw_value for v in variables]
    parts = [x.sharding.shard_shape(x.shape) if x.sharding else x.shape for x in values]
    return sum(math.prod(part) * x.dtype.itemsize for part, x in zip(parts, values))
