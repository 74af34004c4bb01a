"""From a config to the live pieces of a run: data, task, state, compiled steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optax

from nnxtrain import nnx
from nnxtrain.config.build import resolve
from nnxtrain.config.schema import Config
from nnxtrain.data.sampler import steps_per_epoch
from nnxtrain.data.source import Source, Splits
from nnxtrain.errors import InputError
from nnxtrain.optim import Optimization, build_optimizer, build_schedule
from nnxtrain.training.evaluation import evaluate_source
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.plan import Plan
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_eval_step, make_train_step


@dataclass(frozen=True)
class Session:
    """What training and evaluation work with. :meth:`build` makes a fresh state; call it through ``state.create``."""

    config: Config
    splits: Splits
    plan: Plan
    task: Any
    monitor: Monitor
    schedule: optax.Schedule
    build: Callable[[], TrainState]

    @classmethod
    def open(cls, config: Config, *, packages: Sequence[str] = ()) -> Session:
        """Load the data and lay out the run; nothing is computed yet.

        Raises InputError for a config that does not fit the data.
        """
        splits: Splits = resolve(config.data, packages=packages).load()
        spec = splits.train.spec
        plan = Plan.of(
            config.trainer, steps_per_epoch(len(splits.train), config.trainer.batch_size)
        )
        task = resolve(config.task, packages=packages, spec=spec)
        known = list(nnx.eval_shape(task.metrics)._metrics())
        monitor = Monitor.of(config, packages)
        if monitor.metric not in known:
            raise InputError(
                f"trainer.monitor: the task has no metric {monitor.metric!r}; it has {', '.join(known)}"
            )
        schedule = build_schedule(config.optim, plan.total_steps, packages=packages)
        optimizations: list[Optimization] = []  # the first, for all: another tx compiles anew

        def build() -> TrainState:
            model = resolve(
                config.model,
                packages=packages,
                rngs=nnx.Rngs(config.seed),
                **spec.runtime_values(),
            )
            if not optimizations:
                made = build_optimizer(config.optim, model, plan.total_steps, packages=packages)
                optimizations.append(made)
            (optimization,) = optimizations
            return TrainState(model, optimization.tx, task.metrics(), wrt=optimization.wrt)

        return cls(config, splits, plan, task, monitor, schedule, build)

    @cached_property
    def train_step(self) -> Callable[[TrainState, dict[str, Any]], None]:
        return make_train_step(self.task)

    @cached_property
    def eval_step(self) -> Callable:
        return make_eval_step(self.task)

    def evaluate(self, model: nnx.Module, split: str) -> dict[str, float]:
        """Metrics of a model on ``train``, ``validation`` or ``test``."""
        source: Source = getattr(self.splits, split)
        batch_size = min(self.config.trainer.eval_batch_size, len(source))
        return evaluate_source(self.eval_step, self.task, model, source, batch_size=batch_size)
