"""``nnxtrain fit``: train, resume, sweep."""

from __future__ import annotations

import os
import sys
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from nnxtrain.cli.arguments import Command, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.table import print_table
from nnxtrain.cli.whole_number import whole_number
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Fit(Command):
    """Train a model from a configuration, and leave a run directory.

    An override is key=value for one value, or group=option for a whole section;
    `nnxtrain config list` shows the groups, `nnxtrain config show` the result.
    run=DIR resumes a run that was interrupted; from=DIR begins a new one with the trained
    weights, and the overrides, of another.

    examples:
      nnxtrain fit                                           the built-in example
      nnxtrain fit config=lenet_cifar5 trainer.epochs=5
      nnxtrain fit model=mlp model.hidden=[64,64] optim=adamw
      nnxtrain fit run=runs/DIR                              resume
      nnxtrain fit from=runs/DIR data=cifar10 init.skip=[linears.2]   fine-tune, a fresh last layer
      nnxtrain fit -m seed=1,2,3                             three runs, one after the other
      nnxtrain fit -m seed=1,2,3 hydra/launcher=submitit_local
      nnxtrain fit --package mypackage model=custom model._target_=mypackage.MyModel
    """

    overrides: tuple[str, ...] = rest(
        "key=value, group=option, run=DIR or from=DIR", metavar="OVERRIDE"
    )
    multirun: bool = flag("run every combination of values given as a,b or range(..)", short="m")
    processes: str | None = flag("train in N processes on this machine", None, metavar="N")
    coordinator: str | None = flag(
        "one of --processes N on several hosts: where process 0 listens", None, metavar="HOST:PORT"
    )
    process: str | None = flag("which one of them this is, from 0", None, metavar="I")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        open_packages(self.package)
        command = ["nnxtrain", *sys.argv[1:]]
        if self.multirun:
            return self._sweep(command)
        count = None if self.processes is None else whole_number("--processes", self.processes, 1)
        index = None if self.process is None else whole_number("--process", self.process, 0)
        if count is not None and self.coordinator is None and index is None:
            from nnxtrain.parallel.processes import run_here

            return run_here([sys.executable, "-m", "nnxtrain", *sys.argv[1:]], count)
        leads = self._join(count, index)
        run = api.fit(
            self.overrides, config_dirs=self.config_dir, packages=self.package, command=command
        )
        if leads:
            print(f"run: {run.directory}")
        return 0

    def _join(self, count: int | None, index: int | None) -> bool:
        """Become one of several processes, if flags or Slurm say so; return whether this is the first, or the only one."""
        told = (count, index, self.coordinator) != (None, None, None)
        if told or "SLURM_STEP_NUM_TASKS" in os.environ:
            from nnxtrain.parallel.processes import find_processes, join

            if processes := find_processes(self.coordinator, count, index):
                join(processes)
                return processes.index == 0
        return True

    def _sweep(self, command: list[str]) -> int:
        from nnxtrain.api import beginning_from
        from nnxtrain.cli.multirun import sweep

        if resumed := [text for text in self.overrides if text.startswith("run=")]:
            raise InputError(f"{resumed[0]!r} resumes one run and cannot be combined with -m")
        trials = sweep(
            beginning_from(self.overrides),
            config_dirs=self.config_dir,
            packages=self.package,
            command=command,
        )
        shared = set.intersection(*(set(trial["overrides"]) for trial in trials))
        shared = shared if len(trials) > 1 else set()  # what all have in common tells nothing
        print_table(["trial", "run", "results"], [_row(trial, shared) for trial in trials])
        failed = [trial for trial in trials if "error" in trial]
        for trial in failed:
            print(f"error: trial {_label(trial)}: {trial['error']}", file=sys.stderr)
        return 1 if failed else 0


def _label(trial: dict[str, Any], without: Set[str] = frozenset()) -> str:
    return " ".join(text for text in trial["overrides"] if text not in without) or "-"


def _row(trial: dict[str, Any], shared: Set[str]) -> tuple[str, str, str]:
    if "error" in trial:
        return _label(trial, shared), "", "failed"
    results = trial["results"].items()
    numbers = [f"{key} {value:.4g}" for key, value in results if isinstance(value, float)]
    return _label(trial, shared), trial["directory"], "  ".join(numbers)
