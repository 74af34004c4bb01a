"""Optuna's part in a sweep: it chooses values by what ended trials found, and says which ones are poor.

There is no process that leads: each trial opens the study, a journal file that all append to, when it starts, when it
evaluates and when it ends. So a sweep may be killed and gone on with at any time, on any machine that sees the directory.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnxtrain.errors import InputError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.space import Choices, Dimension
from nnxtrain.sweep.spec import PrunerName, SamplerName, SweepConfig
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_summary import summarize

if TYPE_CHECKING:
    import optuna

_NUMBER, _STEPS = "trial", "steps"  # what Optuna's trials are marked with


def check(spec: SweepConfig) -> None:
    """Raise InputError if Optuna is not here."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        asking = (
            f"sweep.sampler={spec.sampler}"
            if spec.sampler is SamplerName.tpe
            else f"sweep.pruner={spec.pruner}"
        )
        raise InputError(
            f"{asking} needs the package optuna; install it with: pip install 'nnxtrain[optuna]'"
        ) from error


@dataclass(frozen=True)
class StudyTrial:
    """A trial of a sweep as Optuna has it; ``overrides`` are what it was given."""

    sweep: SweepDirectory
    number: int
    trial: optuna.Trial
    overrides: list[str]

    @classmethod
    def ask(cls, sweep: SweepDirectory, number: int, before: list[str] | None = None) -> StudyTrial:
        """Give a trial its values; one that has been given some ``before`` keeps them, though the study be lost.

        Two trials that ask at once get different ones, as each is told of those that run.
        """
        with _quiet():
            study = _open(sweep, number)
            found = [
                trial
                for trial in study.get_trials(deepcopy=False)
                if trial.user_attrs.get(_NUMBER) == number
            ]
            import optuna

            known = sweep.planned(number) or before
            if found:
                trial = optuna.Trial(study, found[-1]._trial_id)
            else:
                asked = {} if known else _distributions(sweep)
                trial = study.ask(asked)
                trial.set_user_attr(_NUMBER, number)
        return cls(sweep, number, trial, known or _overrides(sweep, trial.params))

    def is_poor(self, step: int, score: float) -> bool:
        """Note a score, and return whether the trial is to be given up. Pruners count evaluations, not steps.

        An evaluation that was noted before the trial was interrupted changes nothing.
        """
        with _quiet():
            steps = list(self.trial.user_attrs.get(_STEPS, []))
            if step in steps:
                return False
            steps.append(step)
            self.trial.report(score, len(steps))
            self.trial.set_user_attr(_STEPS, steps)
            return bool(self.trial.should_prune())

    def tell(self) -> None:
        """Note that the trial has ended: its best score, or that it was given up."""
        from optuna.trial import TrialState

        run = summarize(RunDirectory(self.sweep.trial_path(self.number)))
        with _quiet():
            tell = self.trial.study.tell
            if run.state == "pruned":
                tell(self.trial, state=TrialState.PRUNED, skip_if_finished=True)
            elif run.best is None:  # never a number
                tell(self.trial, state=TrialState.FAIL, skip_if_finished=True)
            else:
                tell(self.trial, run.best, skip_if_finished=True)


def _open(sweep: SweepDirectory, number: int) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    spec, (_, mode) = sweep.spec, sweep.content["monitor"]
    seed = int(np.random.SeedSequence([spec.seed, number]).generate_state(1)[0])
    startup = spec.optuna.startup_trials
    sampler: Any = optuna.samplers.RandomSampler(seed)
    if spec.sampler is SamplerName.tpe:
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            constant_liar=True,  # those that run count as poor, so that two do not look in one place
            n_startup_trials=10 if startup is None else startup,
        )
    warmup = spec.optuna.warmup_evaluations
    pruner: Any = optuna.pruners.NopPruner()
    if spec.pruner is PrunerName.median:
        pruner = optuna.pruners.MedianPruner(5 if startup is None else startup, warmup)
    elif spec.pruner is PrunerName.hyperband:
        pruner = optuna.pruners.HyperbandPruner(max(1, warmup))
    storage = JournalStorage(JournalFileBackend(str(sweep.path / "study.journal")))
    names = optuna.get_all_study_names(storage)
    return optuna.create_study(
        storage=storage,
        study_name=names[0] if names else sweep.name,  # a sweep may have been moved since
        direction="maximize" if mode == "max" else "minimize",
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )


def _distributions(sweep: SweepDirectory) -> dict[str, Any]:
    return {part.key: _distribution(part) for part in sweep.space.dimensions}


def _distribution(part: Dimension) -> Any:
    """A range is a range to Optuna, of which 3 is between 2 and 4; other values have no order."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(part, Choices):
        return (
            CategoricalDistribution(part.values)
            if part.step is None
            else IntDistribution(0, len(part.values) - 1)
        )
    if part.integer:
        return IntDistribution(round(part.low), round(part.high), log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def _overrides(sweep: SweepDirectory, params: dict[str, Any]) -> list[str]:
    chosen = []
    for part in sweep.space.dimensions:
        value = params[part.key]
        if isinstance(part, Choices):
            chosen.append(str(value) if part.step is None else part.values[value])
        else:
            chosen.append(part.text(value))
    return sweep.space.overrides(chosen)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's lines for each trial, and its warnings that what is asked for here is new."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
