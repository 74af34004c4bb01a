"""Build the optimizer of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from nnxtrain.config.build import resolve
from nnxtrain.config.schema import OptimConfig


def build_optimizer(
    config: OptimConfig, total_steps: int, *, packages: Sequence[str] = ()
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Return the transformation (clipping, then the optimizer) and its learning rate by step.

    Args:
      config: the ``optim`` section.
      total_steps: the run's length, for the schedule.
      packages: packages of the user that ``_target_`` may name.
    """
    schedule: Any = optax.constant_schedule(config.learning_rate)
    if config.schedule is not None:
        schedule = resolve(
            config.schedule,
            packages=packages,
            learning_rate=config.learning_rate,
            total_steps=total_steps,
        )
    rate = config.learning_rate if config.schedule is None else schedule
    tx = resolve(config.optimizer, packages=packages, learning_rate=rate, total_steps=total_steps)
    if config.clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(config.clip_norm), tx)
    return tx, schedule
