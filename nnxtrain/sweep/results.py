"""What the trials of a sweep came to: one by one, and those that differ in their seed alone together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nnxtrain.errors import InputError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.states import Trial, trials_of
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_summary import RunSummary, summarize


@dataclass(frozen=True)
class Result:
    """A trial and the run that it made; None if it made none that can be read."""

    trial: Trial
    run: RunSummary | None

    @cached_property
    def values(self) -> dict[str, str]:
        """The overrides of the trial by key."""
        pairs = (text.partition("=") for text in self.trial.overrides or [])
        return {key: value for key, _, value in pairs}

    @property
    def score(self) -> float | None:
        """The best value of the monitored metric on the validation split."""
        return self.run.best if self.run else None

    @property
    def checkpoint(self) -> Path | None:
        """Where the best checkpoint lies."""
        if self.run is None or self.run.best_step is None:
            return None
        path = self.run.directory.checkpoints_path / str(self.run.best_step)
        return path if path.is_dir() else None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of a sample, n - 1) of ``count`` values; the latter None for a single one.

    >>> str(Spread.of([0.9, 0.92])), str(Spread.of([0.5]))
    ('0.91 ± 0.01414', '0.5')
    """

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return it of one value or more."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), std, len(values))

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.std is None else f"{self.mean:.4g} ± {self.std:.4g}"


@dataclass(frozen=True)
class Group:
    """Trials with the same values but for the seed, by number.

    ``score`` and ``test`` are over the finished ones.
    """

    values: dict[str, str]  # of the keys that differ over the sweep, without the seed
    results: list[Result]
    score: Spread | None = None
    test: dict[str, Spread] = field(default_factory=dict)

    @property
    def best(self) -> Result | None:
        """The one with the best score, of the finished ones if there are any with a score."""
        scored = [result for result in self.results if result.score is not None]
        finished = [result for result in scored if result.trial.state == "finished"]
        return min(finished or scored, key=_rank, default=None)


@dataclass(frozen=True)
class Ranking:
    """The groups of a sweep, the best first, then those without a score; and what did not end well.

    ``monitor`` is the metric that ranks them, ``mode`` which way; both None before the first run has begun.
    """

    keys: list[str]  # that differ, without the seed
    groups: list[Group]
    monitor: str | None
    mode: str | None
    seeds: bool  # whether groups differ in their seeds
    metrics: list[str]  # the names of the test metrics


def results_of(sweep: SweepDirectory, trials: Iterable[Trial] | None = None) -> list[Result]:
    """Return each trial with its run, by number."""
    found = []
    for trial in trials if trials is not None else trials_of(sweep):
        run = None
        directory = RunDirectory(sweep.trial_path(trial.number))
        if trial.attempts and directory.config_path.exists():
            try:
                run = summarize(directory)
            except InputError:  # metrics that cannot be read
                run = None
        found.append(Result(trial, run))
    return found


def rank(results: Sequence[Result]) -> Ranking:
    """Return the ranking of a sweep's results: finished trials, then pruned ones, then others, each by the best score."""
    differing = differing_keys(results)
    keys = [key for key in differing if key != "seed"]
    groups: dict[tuple[str | None, ...], list[Result]] = {}
    for result in results:
        values = result.values
        if result.trial.overrides is not None:
            groups.setdefault(tuple(values.get(key) for key in keys), []).append(result)
    made = [_group(keys, members) for members in groups.values()]
    runs = [result.run for result in results if result.run and result.run.monitor]
    monitor, mode = (runs[0].monitor, runs[0].mode) if runs else (None, None)
    sign = -1 if mode == "max" else 1

    def order(group: Group) -> tuple[int, float]:
        if group.score is not None:
            return 0, sign * group.score.mean
        best = group.best
        if best is None or best.score is None:
            return 3, 0.0
        pruned = any(result.trial.state == "pruned" for result in group.results)
        return 1 if pruned else 2, sign * best.score

    made.sort(key=order)
    metrics = dict.fromkeys(name for group in made for name in group.test)
    return Ranking(keys, made, monitor, mode, "seed" in differing, list(metrics))


def differing_keys(results: Iterable[Result]) -> list[str]:
    """Return the keys whose values are not the same in all trials, in the order of the overrides."""
    given = [result.values for result in results if result.trial.overrides is not None]
    keys = dict.fromkeys(key for values in given for key in values)
    return [key for key in keys if len({values.get(key) for values in given}) > 1]


def _group(keys: Sequence[str], members: list[Result]) -> Group:
    values = {key: value for key in keys if (value := members[0].values.get(key)) is not None}
    finished = [result for result in members if result.trial.state == "finished"]
    scores = [r.score for r in finished if r.score is not None and math.isfinite(r.score)]
    names = dict.fromkeys(name for r in finished if r.run for name in r.run.test)
    tests: dict[str, Spread] = {}
    for name in names:
        found = [r.run.test.get(name) for r in finished if r.run]
        numbers = [float(x) for x in found if isinstance(x, int | float) and math.isfinite(x)]
        if numbers:
            tests[name] = Spread.of(numbers)
    return Group(values, members, Spread.of(scores) if scores else None, tests)


def _rank(result: Result) -> float:
    assert result.score is not None
    assert result.run is not None
    return -result.score if result.run.mode == "max" else result.score
