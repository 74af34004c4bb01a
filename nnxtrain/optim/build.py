"""Build the optimizer of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optax

from nnxtrain import nnx
from nnxtrain.config.build import resolve
from nnxtrain.config.schema import OptimConfig


@dataclass(frozen=True)
class Optimization:
    """How a model is trained.

    Attributes:
      tx: clipping, then the optimizer. Static in compiled functions, where another one that was made the same way
        compares unequal: make it once for a run.
      schedule: the learning rate by step, counted in updates from 0.
      wrt: the filter of the Variables that train.
    """

    tx: optax.GradientTransformation
    schedule: optax.Schedule
    wrt: Any


def build_optimizer(
    config: OptimConfig, model: nnx.Module, total_steps: int, *, packages: Sequence[str] = ()
) -> Optimization:
    """Return how to train a model.

    Args:
      config: the ``optim`` section.
      model: what is to be trained; its paths and shapes are looked at, so it may be abstract.
      total_steps: the run's length in updates, for the schedule.
      packages: packages of the user that ``_target_`` may name.
    """
    schedule = build_schedule(config, total_steps, packages=packages)
    rate = config.learning_rate if config.schedule is None else schedule
    tx = resolve(config.optimizer, packages=packages, learning_rate=rate, total_steps=total_steps)
    if config.clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(config.clip_norm), tx)
    return Optimization(tx, schedule, nnx.Param)


def build_schedule(
    config: OptimConfig, total_steps: int, *, packages: Sequence[str] = ()
) -> optax.Schedule:
    """Return the learning rate by step; arguments as in :func:`build_optimizer`."""
    if config.schedule is None:
        return optax.constant_schedule(config.learning_rate)
    schedule: optax.Schedule = resolve(
        config.schedule,
        packages=packages,
        learning_rate=config.learning_rate,
        total_steps=total_steps,
    )
    return schedule
