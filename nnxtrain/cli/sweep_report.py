"""``nnxtrain sweep report``."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.sweep_argument import find_sweep, runs_dir, sweep_name


@dataclass(frozen=True)
class SweepReport(Command):
    """Write one HTML page on a sweep as it stands: the ranking, scores against each key, curves, what failed.

    The page needs no network and no other file.

    examples:
      nnxtrain sweep report                    the newest sweep
      nnxtrain sweep report NAME out=page.html
    """

    sweep: tuple[str, ...] = sweep_name()
    out: str | None = argument("the file (default: report.html, in the sweep)", metavar="FILE")
    runs_dir: str = runs_dir()
    force: bool = flag("replace the file if it exists")

    def __call__(self) -> int:
        from nnxtrain.sweep.report.write import write_report

        sweep = find_sweep(self.sweep, self.runs_dir)
        print(f"report: {write_report(sweep, self.out, overwrite=self.force)}")
        return 0
