"""A run in a few words, from its files alone. Needs neither jax nor the run's packages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_lock import may_be_held

Record = Mapping[str, Any]


@dataclass(frozen=True)
class RunSummary:
    """How far a run got and how good it is.

    ``state`` is that of the run's status, or ``died`` where the status is ``running`` and no process is at work.
    ``total_steps``, ``monitor`` and ``mode`` are None in a run whose training has not begun. ``best`` is the best value of
    ``monitor`` on the validation split (``mode``: ``max`` or ``min``), measured at ``best_step``; ``test`` the metrics on
    the test split; ``seconds`` the time from the start to the last sign of life, pauses included.
    """

    directory: RunDirectory
    state: str
    error: str | None
    step: int
    total_steps: int | None
    monitor: str | None
    mode: str | None
    best: float | None
    best_step: int | None
    test: dict[str, Any]
    started: datetime | None
    seconds: float | None
    records: Sequence[Record]  # the lines of metrics.jsonl


def summarize(directory: RunDirectory) -> RunSummary:
    """Return the summary of a run.

    Raises InputError for metrics that cannot be read.
    """
    path = directory.metrics_path
    records = read_metrics(path) if path.exists() else []
    status, plan = directory.status, directory.plan
    state: str = status.state
    if state == "running" and not may_be_held(directory.lock_path):
        state = "died"
    monitor, mode = plan.get("monitor"), plan.get("mode")
    best = _best(records, monitor, mode)
    tests = [record for record in records if record.get("split") == "test"]
    started = _moment(directory.origin.get("started"))
    ended = (
        _moment(status.time) if state in ("finished", "pruned", "failed", "interrupted") else None
    )
    seen = [ended.timestamp()] if ended else [r["time"] for r in records[-1:] if "time" in r]
    return RunSummary(
        directory=directory,
        state=state,
        error=status.error,
        step=max((int(record["step"]) for record in records), default=0),
        total_steps=plan.get("total_steps"),
        monitor=monitor,
        mode=mode,
        best=best[monitor] if best and monitor else None,
        best_step=best["step"] if best else None,
        test=metrics_of(tests[-1]) if tests else {},
        started=started,
        seconds=max(0.0, seen[0] - started.timestamp()) if seen and started else None,
        records=records,
    )


def metrics_of(record: Record) -> dict[str, Any]:
    """Return the metrics of a line without what says when and where it was measured."""
    return {k: v for k, v in record.items() if k not in ("step", "epoch", "split", "time")}


def duration(seconds: float | None) -> str:
    """Return a length of time.

    >>> duration(53.2), duration(147), duration(7384), duration(None)
    ('53 s', '2 min 27 s', '2 h 3 min', '')
    """
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60} s"
        if whole < 3600
        else f"{whole // 3600} h {whole // 60 % 60} min"
    )


def _best(records: Sequence[Record], monitor: str | None, mode: str | None) -> Record | None:
    if monitor is None:
        return None
    scored = [
        record
        for record in records
        if record.get("split") == "val"
        and isinstance(score := record.get(monitor), int | float)
        and not math.isnan(score)
    ]
    sign = -1 if mode == "min" else 1
    return max(scored, key=lambda record: sign * record[monitor], default=None)


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone()
    except ValueError:
        return None
