"""The training loop: compute, then log, evaluate and save at the plan's steps. All effects of training are here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import numpy as np

from nnxtrain.config.schema import OnNonfinite
from nnxtrain.data.loader import train_batches
from nnxtrain.data.placement import resident
from nnxtrain.data.sampler import batch_ids
from nnxtrain.data.source import Batch
from nnxtrain.errors import Pruned, RunError
from nnxtrain.parallel.agreement import told
from nnxtrain.training.checkpoint import Checkpoint, Checkpoints
from nnxtrain.training.diagnosis import NotFiniteError, diagnose
from nnxtrain.training.early_stopping import EarlyStopping
from nnxtrain.training.evaluation import EvaluationStopped
from nnxtrain.training.finite import parameters_finite
from nnxtrain.training.host_values import host_values
from nnxtrain.training.interruption import Interruption
from nnxtrain.training.profile import Profile
from nnxtrain.training.progress import Progress
from nnxtrain.training.run_log import RunLog
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, arrays_of


@dataclass
class Loop:
    """Trains ``state`` from the step it has to the end of the plan, or until it gets no better.

    ``best`` is the best monitored validation score so far; with the state, the position in the log and the count of
    ``early``, which each checkpoint notes, it decides the rest of the run. ``unevaluated`` is the checkpoint that the run
    goes on from, where a signal came during the evaluation that was due then. ``is_poor`` is asked by process 0, at each
    evaluation, whether the run is too poor by its step and score to go on.
    """

    session: Session
    state: TrainState
    checkpoints: Checkpoints
    log: RunLog
    progress: Progress
    interruption: Interruption
    profile: Profile
    early: EarlyStopping
    best: float | None = None
    unevaluated: Checkpoint | None = None
    is_poor: Callable[[int, float], bool] | None = None

    def run(self) -> int:
        """Train to the end, and return the step it came at.

        Raises:
          Interrupted: a signal asked to stop; everything is saved.
          Pruned: ``is_poor``; everything is saved.
          NotFiniteError: a loss or gradient is not finite; the state is that before.
        """
        session, plan = self.session, self.session.plan
        step = self.state.step
        self.progress.start(plan.total_steps, step, plan.steps_per_epoch)
        self.log_start = (time.perf_counter(), step)
        self.waited = 0.0
        halted: jax.Array | None = None
        if self.unevaluated is not None:
            self._make_up(self.unevaluated)
        source, trainer = session.placed.train, session.config.trainer
        arrays, layout = resident(source), session.layout
        with train_batches(
            source,
            batch_size=trainer.batch_size,
            seed=session.config.seed,
            start_step=step,
            prefetch=0 if arrays else 4,  # numbers of rows need no fetching
            rows=layout.local_rows(trainer.batch_size),
        ) as batches:
            while step < plan.total_steps and not self.early.stops:
                count = plan.call(step, session.steps_per_call)
                asked = time.perf_counter()
                examples = [next(batches) for _ in range(count)]
                if halted is None or halted.is_ready():  # type: ignore[attr-defined]
                    self.waited += time.perf_counter() - asked  # else the device was at work
                batch = _stacked(examples)
                batch = layout.put(batch, trainer.batch_size, leading=int(count > 1))
                self.profile.before(step, count)
                halted = session.train_steps[count](self.state, batch, arrays)
                step += count
                self.profile.after(step, halted)
                self._at(step, halted)
        self.checkpoints.wait()
        return step

    def _at(self, step: int, halted: jax.Array) -> None:
        """What comes after the step ``step``. Logging comes before evaluation, and that before saving."""
        plan = self.session.plan
        logs, evaluates, saves = plan.logs(step), plan.evaluates(step), plan.saves(step)
        # An answer that is there is read at once, others only where the state is looked at anyway: a halted state waits.
        stopping = self.interruption.stops()
        alone = jax.process_count() == 1  # several have to look at the same steps
        if logs or evaluates or saves or stopping or (alone and halted.is_ready()):  # type: ignore[attr-defined]
            self._check(halted)
        if logs:
            self._log(step)
        try:
            score = self._evaluate(step) if evaluates else None
        except EvaluationStopped:
            self._save(step, None, unevaluated=True)
            self._stop(step)
        improved, poor = self._note(score), self._is_poor(step, score)
        if saves or improved or stopping or poor or self.early.stops:
            self._save(step, score)
        if poor and step < plan.total_steps:
            self._prune(step, score)
        if stopping and step < plan.total_steps:
            self._stop(step)

    def _stop(self, step: int) -> NoReturn:
        self.checkpoints.wait()
        raise self.interruption.error(f"at step {step}, which is saved")

    def _is_poor(self, step: int, score: float | None) -> bool:
        if score is None:
            return False
        return told(lambda: self.is_poor is not None and bool(self.is_poor(step, score)))

    def _prune(self, step: int, score: float | None) -> NoReturn:
        self.checkpoints.wait()
        raise Pruned(
            f"pruned at step {step}: {self.session.monitor.metric} {score:.4g} is poor beside other trials"
        )

    def _make_up(self, checkpoint: Checkpoint) -> None:
        """Make the evaluation that a signal cut short; then the checkpoint is as if none had come."""
        try:
            score = self._evaluate(checkpoint.step)
        except EvaluationStopped:
            self._stop(checkpoint.step)
        self._note(score)
        self.checkpoints.rescore(checkpoint, self._info(), score)
        poor = self._is_poor(checkpoint.step, score)
        if poor and checkpoint.step < self.session.plan.total_steps:
            self._prune(checkpoint.step, score)

    def _check(self, halted: jax.Array) -> None:
        """Raise NotFiniteError if a step was not, with what it was: the step is made again, on the state from before."""
        if not halted:
            return
        session, trainer = self.session, self.session.config.trainer
        step = self.state.step
        ids = batch_ids(session.config.seed, step, session.sizes["train"], trainer.batch_size)
        batch = session.training_batch(step, session.placed.train.batch(ids))
        where = diagnose(
            session.task,
            self.state.model,
            batch,
            wrt=self.state.optimizer.wrt,
            parts=trainer.accumulate,
        )
        raise NotFiniteError(step + 1, ids.tolist(), where)

    def _log(self, step: int) -> None:
        metrics = host_values(self.state.metrics.compute())
        metrics |= host_values({"grad_norm": self.state.grad_norm.compute()})
        self.state.metrics.reset()
        self.state.grad_norm.reset()
        self.session.layout.replicate(self.state.metrics)
        self.session.layout.replicate(self.state.grad_norm)
        now, (then, since) = time.perf_counter(), self.log_start
        updates = int(self.state.optimizer.step.value)  # fewer than steps where some were left out
        rates = self.session.rates.items()
        metrics |= host_values({name: np.float32(rate(updates - 1)) for name, rate in rates})
        trainer = self.session.config.trainer
        if trainer.on_nonfinite is OnNonfinite.skip or self.state.loss_scale is not None:
            metrics["skipped"] = int(self.state.skipped.value)
        rate, spec = (step - since) * trainer.batch_size / (now - then), self.session.spec
        metrics["examples_per_second"] = round(rate, 1)
        if spec.vocab_size is not None:
            metrics["tokens_per_second"] = round(rate * spec.input_shape[0])
        metrics["data_wait"] = round(self.waited / (now - then), 4)
        self.waited = 0.0
        self.log.write(
            step=step, epoch=self.session.plan.epoch(step), split="train", metrics=metrics
        )
        self.progress.update(step, metrics)
        self.log_start = (now, step)

    def _evaluate(self, step: int) -> float:
        """Evaluate on the validation split; return the monitored score. Raises EvaluationStopped when a signal comes."""
        began = time.perf_counter()
        metrics = self.session.evaluate(
            self.state.averaged, "validation", stop=self.interruption.stops
        )
        self.log.write(step=step, epoch=self.session.plan.epoch(step), split="val", metrics=metrics)
        self.progress.evaluation("val", step, metrics)
        then, since = self.log_start
        # The rate is that of training alone.
        self.log_start = (then + time.perf_counter() - began, since)
        return metrics[self.session.monitor.metric]

    def _note(self, score: float | None) -> bool:
        """Take note of a score, and return whether it is the best so far."""
        if score is not None:
            self.early.note(score)
        if score is None or math.isnan(score):
            return False
        better = self.session.monitor.better(score, self.best)
        if better:
            self.best = score
        return better

    def _save(self, step: int, score: float | None, *, unevaluated: bool = False) -> None:
        if not parameters_finite(self.state.model):
            raise RunError(
                f"the update of step {step} made parameters that are not finite; the checkpoints from before are kept; "
                "try a smaller optim.learning_rate or optim.clip_norm=1"
            )
        info = self._info(unevaluated)
        self.checkpoints.save(step, arrays_of(self.state), info, score)

    def _info(self, unevaluated: bool = False) -> dict[str, Any]:
        """What a checkpoint notes beside the state."""
        return {
            "best": self.best,
            "log_position": self.log.position(),
            "early_stopping": [self.early.best, self.early.waited],
            "unevaluated": unevaluated,
        }


def _stacked(batches: list[Batch]) -> Batch:
    """The batches of one call; those of several steps with a first axis for the steps."""
    if len(batches) == 1:
        return batches[0]
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
