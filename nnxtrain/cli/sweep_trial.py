"""``nnxtrain sweep trial``, which launchers run, and ``sweep manage``, which starts trials on this machine."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class SweepTrial(Command):
    """Run one trial of a sweep here, in the foreground, or go on with it; as its launcher does.

    examples:
      nnxtrain sweep trial runs/sweeps/NAME 3
    """

    words: tuple[str, ...] = rest("the sweep's directory or name, and a number", metavar="SWEEP N")

    def __call__(self) -> int:
        from nnxtrain.sweep.directory import SweepDirectory
        from nnxtrain.sweep.states import choose
        from nnxtrain.sweep.trial import run_trial

        if len(self.words) != 2:
            raise InputError("sweep trial: expected a sweep and a number, as sweep trial NAME 3")
        sweep = SweepDirectory.open(self.words[0])
        number, *more = choose(sweep, self.words[1:])
        if more:
            raise InputError(f"sweep trial: one trial at a time, got {self.words[1]!r}")
        with contextlib.suppress(OSError):  # relative paths of its configuration are from there
            os.chdir(sweep.content["working_directory"])
        open_packages(sweep.packages)
        run_trial(sweep, number, leads=_join())
        return 0


def _join() -> bool:
    """Become one of the tasks of a Slurm step, if there are several; return whether this is the first, or the only one."""
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        from nnxtrain.parallel.processes import find_processes, join

        if processes := find_processes(None, None, None):
            join(processes)
            return processes.index == 0
    return True


@dataclass(frozen=True)
class SweepManage(Command):
    """Run trials of a sweep, several at once. `nnxtrain sweep` starts this in the background."""

    words: tuple[str, ...] = rest("the sweep's directory, and numbers", metavar="SWEEP N")

    def __call__(self) -> int:
        from nnxtrain.sweep.directory import SweepDirectory
        from nnxtrain.sweep.launchers import manage
        from nnxtrain.sweep.states import choose

        if len(self.words) < 2:
            raise InputError("sweep manage: expected a sweep and numbers")
        sweep = SweepDirectory.open(self.words[0])
        manage(sweep, choose(sweep, self.words[1:]))
        return 0
