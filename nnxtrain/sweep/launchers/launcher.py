"""What a launcher is asked to do."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import ClassVar, Protocol

from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.spec import SweepConfig


class Launcher(Protocol):
    """Sees that trials are run, in processes that outlive the one that asks for it.

    A trial that ends with exit code 75 (a scheduler wanted the machine) is to be run again; every other end is one. What
    the launcher needs to know later, in another process, it notes by ``sweep.note_launch``: ``time``, ``trials``, and
    its own, e.g. job ids.
    """

    pause: ClassVar[float]  # seconds from one question to the next of who waits

    def __init__(self, spec: SweepConfig) -> None: ...

    def check(self) -> None:
        """Raise InputError where it cannot start trials here, saying what to install or change."""

    def launch(self, sweep: SweepDirectory, numbers: Sequence[int]) -> None:
        """Hand trials over, note it, and return at once; ``sweep.log_path(number)`` gets what each prints.

        Raises RunError if it cannot be done.
        """

    def held(self, sweep: SweepDirectory) -> set[int]:
        """Return the numbers of the trials that it runs, or will run yet; one question for all of them."""

    def cancel(self, sweep: SweepDirectory, numbers: Collection[int]) -> None:
        """End trials: those that run by SIGINT, so that they save. That none of these starts any more is noted in the sweep
        already (``sweep.is_cancelled``), which each trial looks at when it starts; an engine with a queue of its own takes
        them out of it."""


def trial_command(sweep: SweepDirectory, number: int) -> list[str]:
    """Return the command that runs a trial."""
    return [sys.executable, "-m", "nnxtrain", "sweep", "trial", str(sweep.path), str(number)]
