"""The training loop: compute, then log, evaluate and save at the plan's steps. All effects of training are here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from nnxtrain.data.loader import train_batches
from nnxtrain.errors import Interrupted, RunError
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.host_values import host_values
from nnxtrain.training.interruption import Interruption
from nnxtrain.training.progress import Progress
from nnxtrain.training.run_log import RunLog
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, arrays_of


@dataclass
class Loop:
    """Trains ``state`` from the step it has to the end of the plan.

    ``best`` is the best monitored validation score so far; with the state and the position in the log, which each
    checkpoint notes, it decides the rest of the run.
    """

    session: Session
    state: TrainState
    checkpoints: Checkpoints
    log: RunLog
    progress: Progress
    interruption: Interruption
    best: float | None = None

    def run(self) -> None:
        """Train to the end.

        Raises:
          Interrupted: a signal asked to stop; everything is saved.
          RunError: the loss is not finite any more.
        """
        session, plan, state = self.session, self.session.plan, self.state
        start = state.step
        self.progress.start(plan.total_steps, start, plan.steps_per_epoch)
        self.log_start = (time.perf_counter(), start)
        trainer = session.config.trainer
        with train_batches(
            session.splits.train,
            batch_size=trainer.batch_size,
            seed=session.config.seed,
            start_step=start,
        ) as batches:
            for step, batch in zip(range(start + 1, plan.total_steps + 1), batches):
                session.train_step(state, batch)
                if plan.logs(step):
                    self._log(step)
                score = self._evaluate(step) if plan.evaluates(step) else None
                improved = self._improves(score)
                if plan.saves(step) or improved or self.interruption.requested:
                    self._save(step, score)
                if self.interruption.requested and step < plan.total_steps:
                    self.checkpoints.wait()
                    raise Interrupted(
                        f"stopped by {self.interruption.requested} at step {step}, which is saved"
                    )
        self.checkpoints.wait()

    def _log(self, step: int) -> None:
        metrics = host_values(self.state.metrics.compute())
        self.state.metrics.reset()
        self._check_finite(metrics, step)
        now, (then, since) = time.perf_counter(), self.log_start
        metrics |= host_values({"learning_rate": np.float32(self.session.schedule(step - 1))})
        metrics["examples_per_second"] = round(
            (step - since) * self.session.config.trainer.batch_size / (now - then), 1
        )
        self.log.write(
            step=step, epoch=self.session.plan.epoch(step), split="train", metrics=metrics
        )
        self.progress.update(step, metrics)
        self.log_start = (now, step)

    def _check_finite(self, metrics: dict[str, float], step: int) -> None:
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise RunError(
                f"the loss is {metrics['loss']} at step {step} or up to {self.session.plan.log_every - 1} steps before; "
                "the checkpoints from before are kept; try a smaller optim.learning_rate or optim.clip_norm=1"
            )

    def _evaluate(self, step: int) -> float:
        """Evaluate on the validation split; return the monitored score."""
        began = time.perf_counter()
        metrics = self.session.evaluate(self.state.model, "validation")
        self.log.write(step=step, epoch=self.session.plan.epoch(step), split="val", metrics=metrics)
        self.progress.evaluation("val", step, metrics)
        then, since = self.log_start
        # The rate is that of training alone.
        self.log_start = (then + time.perf_counter() - began, since)
        return metrics[self.session.monitor.metric]

    def _improves(self, score: float | None) -> bool:
        """Whether the score is the best so far, of which note is taken."""
        if score is None or math.isnan(score):
            return False
        better = self.session.monitor.better(score, self.best)
        if better:
            self.best = score
        return better

    def _save(self, step: int, score: float | None) -> None:
        if not self.session.plan.logs(step):  # else it was looked at, and the metrics start anew
            self._check_finite(host_values(self.state.metrics.compute()), step)
        info = {"best": self.best, "log_position": self.log.position()}
        self.checkpoints.save(step, arrays_of(self.state), info, score)
