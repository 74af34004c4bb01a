"""One trial of a sweep: find out what it is, start or go on with its run, and note how it ended."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

from nnxtrain import api
from nnxtrain.errors import Interrupted, NnxtrainError, Pruned
from nnxtrain.parallel.agreement import told
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.record import Attempt, Outcome, Record
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_lock import run_lock

IsPoor: TypeAlias = Callable[[int, float], bool]


def run_trial(sweep: SweepDirectory, number: int, *, leads: bool = True) -> None:
    """Run a trial, or go on with it, in this process; of several, those that do not lead note nothing.

    A trial that has finished, or was pruned, is left as it is.

    Raises:
      InputError: the trial cannot run, or another process is at it.
      RunError: training failed.
      Interrupted: a signal came; the trial is saved, and running it again goes on.
    """
    if not leads:
        if (overrides := told(lambda: None)) is not None:
            _fit(sweep, number, overrides, None)
        return
    with run_lock(sweep.records_path / f"{number}.lock", f"trial {number} of {sweep.name}"):
        path = sweep.record_path(number)
        record = Record.read(path)
        if record.last and record.last.outcome in ("finished", "pruned"):
            told(lambda: None)
            return
        attempt = Attempt.begin()
        record.attempts.append(attempt)
        record.write(path)
        try:
            # After the attempt is noted, as `cancel` looks for one after it has noted that: one of them sees the other.
            if sweep.is_cancelled(number):
                raise Interrupted(
                    f"trial {number} was cancelled; to run it: nnxtrain sweep retry {sweep.called}"
                )
            record.overrides, is_poor, tell = _asked(sweep, number, record.overrides)
            record.write(path)
            _fit(sweep, number, told(lambda: record.overrides), is_poor)
        except BaseException as error:
            attempt.outcome, attempt.error = _outcome(error), _line(error)
            if attempt.outcome == "pruned":
                tell()
            if not isinstance(error, Pruned):
                raise
        else:
            attempt.outcome = "finished"
            tell()
        finally:
            attempt.ended = time.time()
            record.write(path)


def _asked(
    sweep: SweepDirectory, number: int, before: list[str] | None
) -> tuple[list[str], IsPoor | None, Callable[[], None]]:
    """The overrides of a trial, what finds it poor, and what is to be called when it has ended well.

    ``before`` are those that an earlier attempt was given.
    """
    planned = sweep.planned(number)
    if not sweep.spec.needs_study:
        assert planned is not None
        return planned, None, lambda: None
    from nnxtrain.sweep.samplers.study import StudyTrial

    trial = StudyTrial.ask(sweep, number, before)
    return trial.overrides, trial.is_poor, trial.tell


def _fit(
    sweep: SweepDirectory,
    number: int,
    overrides: list[str],
    is_poor: IsPoor | None,
) -> Any:
    directory = sweep.trial_path(number)
    options: dict[str, Any] = {"packages": sweep.packages, "is_poor": is_poor}
    if told(directory.exists):
        run = RunDirectory.open(directory)
        if told(lambda: run.status.state) != "finished":
            return api.fit([f"run={directory}"], **options)
        return None
    return api.fit(
        overrides,
        config_dirs=sweep.config_dirs,
        command=["nnxtrain", *sys.argv[1:]],
        directory=directory,
        **options,
    )


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, Pruned):
        return "pruned"
    return "stopped" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, NnxtrainError | KeyboardInterrupt):
        return text
    traceback.print_exception(error)  # into the trial's log
    return f"internal: {type(error).__name__}: {text}"
