"""``nnxtrain eval``: a run's metrics on one split."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Eval(Command):
    """Evaluate a run: every example of the split counts once.

    examples:
      nnxtrain eval                                       the newest run under runs/, test split
      nnxtrain eval run=runs/DIR split=validation
      nnxtrain eval run=runs/DIR checkpoint=last --json
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
    json: bool = flag("print one JSON object")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        open_packages(self.package)
        directory = api.find_run(self.run, self.runs_dir)
        which = _checkpoint(self.checkpoint)
        metrics = api.evaluate(directory, split=self.split, checkpoint=which, packages=self.package)
        if self.json:
            finite = {k: None if v != v or v in _INFINITE else v for k, v in metrics.items()}
            print(json.dumps({"run": str(directory), **finite}, allow_nan=False))
            return 0
        from nnxtrain.training.results_table import print_results

        print(f"run: {directory}")
        print_results([metrics])
        return 0


_INFINITE = (float("inf"), float("-inf"))  # with NaN, what JSON cannot say: null


def _checkpoint(text: str) -> str | int:
    if text in ("best", "last"):
        return text
    if text.isdecimal():
        return int(text)
    raise InputError(f"checkpoint={text}: expected best, last or a step such as 500")
