"""``nnxtrain eval``: a run's metrics on one split."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages
from nnxtrain.storage.json_values import finite


@dataclass(frozen=True)
class Eval(Command):
    """Evaluate a run: every example of the split counts once.

    examples:
      nnxtrain eval                                       the newest run under runs/, test split
      nnxtrain eval run=runs/DIR split=validation
      nnxtrain eval run=runs/DIR checkpoint=last --json
      nnxtrain eval --details                             which classes are taken for which
    """

    run: str | None = argument("a run directory (default: the newest)", metavar="DIR")
    split: str = argument(
        "test, validation or train (default: test)",
        "test",
        metavar="SPLIT",
        choices=("test", "validation", "train"),
    )
    checkpoint: str = argument("best, last or a step (default: best)", "best", metavar="WHICH")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    details: bool = flag(
        "add the confusion matrix and each class's scores, or each target's errors"
    )
    json: bool = flag("print one JSON object")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        open_packages(self.package)
        directory = api.find_run(self.run, self.runs_dir)
        metrics = api.evaluate(
            directory,
            split=self.split,
            checkpoint=self.checkpoint,
            packages=self.package,
            details=self.details,
        )
        if self.json:
            print(json.dumps({"run": str(directory), **finite(metrics)}, allow_nan=False))
            return 0
        from nnxtrain.training.details_table import print_details
        from nnxtrain.training.results_table import print_results

        details = metrics.pop("details", {})
        print(f"run: {directory}")
        print_results([metrics])
        print_details(details)
        return 0
