"""``nnxtrain runs list``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.table import print_table
from nnxtrain.errors import InputError
from nnxtrain.storage.json_values import finite


@dataclass(frozen=True)
class RunsList(Command):
    """List runs, the newest first. A run that says "running" without a process at work is shown as died.

    examples:
      nnxtrain runs list
      nnxtrain runs list runs_dir=/data/runs --json
    """

    runs_dir: str = argument("where the runs are (default: runs)", "runs", metavar="DIR")
    json: bool = flag("print a JSON list")

    def __call__(self) -> int:
        from nnxtrain.training.run_directory import list_damaged, list_runs
        from nnxtrain.training.run_summary import RunSummary, duration, summarize

        runs: list[RunSummary] = []
        broken = [
            f"{path}: config.yaml or run.json cannot be read"
            for path in list_damaged(self.runs_dir)
        ]
        for directory in reversed(list_runs(self.runs_dir)):
            try:
                runs.append(summarize(directory))
            except InputError as error:
                broken.append(str(error))
        for line in broken:
            print(f"skipped {line}", file=sys.stderr)
        if self.json:
            print(json.dumps(finite([as_json(run) for run in runs]), allow_nan=False))
            return 0
        if not runs and not broken:
            missing = "" if Path(self.runs_dir).is_dir() else ", which does not exist"
            raise InputError(
                f"no runs under {self.runs_dir!r}{missing}; start one with: nnxtrain fit"
            )
        rows = [
            (
                run.directory.name,
                run.state,
                f"{run.step}/{run.total_steps or '?'}",
                _scored(run.monitor, run.best),
                _scored(run.monitor, run.test.get(run.monitor or "")),
                f"{run.started:%Y-%m-%d %H:%M}" if run.started else "",
                duration(run.seconds),
            )
            for run in runs
        ]
        print_table(["run", "status", "step", "best validation", "test", "started", "took"], rows)
        return 0


def as_json(run: Any) -> dict[str, Any]:
    """What is known of a run, as JSON has it; times in seconds, the start in ISO 8601."""
    return {
        "run": str(run.directory.path),
        "status": run.state,
        "error": run.error,
        "step": run.step,
        "total_steps": run.total_steps,
        "monitor": run.monitor,
        "best": run.best,
        "best_step": run.best_step,
        "test": run.test,
        "started": run.started.isoformat() if run.started else None,
        "seconds": run.seconds,
    }


def _scored(metric: str | None, value: Any) -> str:
    return f"{metric} {value:.4g}" if isinstance(value, int | float) else ""
