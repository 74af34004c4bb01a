"""Sweeps made of files, without any training."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnxtrain.storage.process_id import born
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.record import Attempt, Record
from nnxtrain.sweep.spec import SweepConfig

BEGUN = 1_700_000_000.0  # seconds of the epoch
STATUS = {"stopped": "interrupted"}


@dataclass
class Made:
    """A trial to be made: ``scores`` on the validation split are of steps 10, 20, …; None is NaN."""

    overrides: Sequence[str]
    scores: Sequence[float | None] = ()
    state: str = "finished"
    test: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None


def sweep_of(
    runs: Path,
    trials: Sequence[Made],
    *,
    monitor: str = "accuracy",
    mode: str = "max",
    name: str = "made",
    spec: SweepConfig | None = None,
    asked: bool = False,
) -> SweepDirectory:
    """Make a sweep; ``asked``: its trials' values are asked for as they start."""
    spec = spec or SweepConfig()
    spec.name = name
    sweep = SweepDirectory.create(
        runs / "sweeps",
        "made",
        spec=spec,
        overrides=["seed=1,2"],
        trials=None if asked else [trial.overrides for trial in trials],
        num_trials=len(trials),
        monitor=(monitor, mode),
        command=["nnxtrain", "sweep", "seed=1,2"],
    )
    here = {"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}
    waiting = [number for number, trial in enumerate(trials) if trial.state == "waiting"]
    if waiting:
        sweep.note_launch({"time": BEGUN, "trials": waiting, **here})
    for number, trial in enumerate(trials):
        if trial.state not in ("waiting", "not started"):
            _make(sweep, number, trial, here, {"monitor": monitor, "mode": mode})
    return sweep


def _make(
    sweep: SweepDirectory, number: int, trial: Made, here: dict[str, Any], plan: dict[str, Any]
) -> None:
    attempt = Attempt(BEGUN, **here)
    if trial.state == "died":
        attempt.born = "long ago"
    elif trial.state != "running":
        attempt.ended, attempt.outcome, attempt.error = BEGUN + 60, trial.state, trial.error
    Record(list(trial.overrides), [attempt]).write(sweep.record_path(number))
    sweep.log_path(number).write_text("what it said\n")
    if not trial.scores:
        return
    run = sweep.trial_path(number)
    steps = [10 * (i + 1) for i in range(len(trial.scores))]
    better = max if plan["mode"] == "max" else min
    scored = [(score, step) for score, step in zip(trial.scores, steps) if score is not None]
    best = better(scored, key=lambda pair: pair[0])[1] if scored else steps[-1]
    (run / "checkpoints" / str(best)).mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    (run / "run.json").write_text('{"started": "2026-01-01T00:00:00+00:00"}')
    (run / "plan.json").write_text(json.dumps({"total_steps": steps[-1], **plan}))
    state = STATUS.get(trial.state, trial.state)
    (run / "status.json").write_text(json.dumps({"state": state, "step": steps[-1]}))
    lines = [
        {"step": step, "epoch": 1.0, "split": "val", "time": BEGUN, plan["monitor"]: score}
        for step, score in zip(steps, trial.scores)
    ]
    if trial.test:
        lines.append({"step": best, "epoch": 1.0, "split": "test", "time": BEGUN, **trial.test})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
