"""``nnxtrain report``: a page on one run or several."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages


@dataclass(frozen=True)
class Report(Command):
    """Write one HTML page on a run: curves, results, confusions, worst mistakes, configuration, environment.

    The page needs no network and no other file. Several runs are laid over each other.

    examples:
      nnxtrain report                                  the newest run
      nnxtrain report run=runs/A run=runs/B out=both.html
      nnxtrain report run=runs/A --no-model            from files alone, at once
    """

    run: tuple[str, ...] = argument(
        "a run directory (default: the newest); repeatable", (), metavar="DIR"
    )
    out: str | None = argument("the file (default: report.html, in the run)", metavar="FILE")
    split: str = argument(
        "test, validation or train (default: test)",
        "test",
        metavar="SPLIT",
        choices=("test", "validation", "train"),
    )
    checkpoint: str = argument("best, last or a step (default: best)", "best", metavar="WHICH")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    no_model: bool = flag("do not run the model: no confusion matrix, no mistakes")
    force: bool = flag("replace the file if it exists")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api
        from nnxtrain.report.write import write_report

        open_packages(self.package)
        path = write_report(
            self.run or [api.find_run(None, self.runs_dir)],
            self.out,
            split=self.split,
            checkpoint=self.checkpoint,
            model=not self.no_model,
            overwrite=self.force,
            packages=self.package,
        )
        print(f"report: {path}")
        return 0
