"""``nnxtrain sweep status``."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, flag
from nnxtrain.cli.sweep_argument import find_sweep, runs_dir, sweep_name
from nnxtrain.cli.table import print_table
from nnxtrain.storage.json_values import finite


@dataclass(frozen=True)
class SweepStatus(Command):
    """Show how each trial of a sweep stands.

    waiting: will run by itself. stopped, failed, died (killed without a word), not started: `nnxtrain sweep retry` goes on.

    examples:
      nnxtrain sweep status                    the newest sweep
      nnxtrain sweep status NAME --watch       until it ends
    """

    sweep: tuple[str, ...] = sweep_name()
    runs_dir: str = runs_dir()
    watch: bool = flag("stay until no trial runs or waits")
    json: bool = flag("print one JSON object")

    def __call__(self) -> int:
        from nnxtrain.cli.sweep_board import finish, status_rows, watch
        from nnxtrain.sweep.results import results_of
        from nnxtrain.sweep.states import counts

        sweep = find_sweep(self.sweep, self.runs_dir)
        if self.watch:
            watch(sweep)
            return finish(sweep)
        results = results_of(sweep)
        if self.json:
            trials = [
                {
                    "trial": result.trial.number,
                    "state": result.trial.state,
                    "overrides": result.trial.overrides,
                    "step": result.run.step if result.run else None,
                    "total_steps": result.run.total_steps if result.run else None,
                    "best": result.score,
                    "attempts": result.trial.attempts,
                    "error": result.trial.error,
                }
                for result in results
            ]
            content = {"sweep": str(sweep.path), "trials": trials}
            print(json.dumps(finite(content), allow_nan=False))
            return 0
        print(f"sweep {sweep.name}: {counts(r.trial.state for r in results)}")
        head = ["trial", "values", "state", "step", "best validation", "attempts"]
        print_table(head, status_rows(results))
        return 0
