"""``nnxtrain sweep cancel``."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command
from nnxtrain.cli.sweep_argument import (
    find_sweep,
    runs_dir,
    split_numbers,
    sweep_name,
    trial_numbers,
)


@dataclass(frozen=True)
class SweepCancel(Command):
    """End the trials of a sweep: those that run save first, those that wait do not start.

    `nnxtrain sweep retry` goes on with them.

    examples:
      nnxtrain sweep cancel                    the newest sweep
      nnxtrain sweep cancel NAME trials=3,5-7
    """

    sweep: tuple[str, ...] = sweep_name()
    trials: str | None = trial_numbers()
    runs_dir: str = runs_dir()

    def __call__(self) -> int:
        from nnxtrain.sweep.start import cancel

        sweep = find_sweep(self.sweep, self.runs_dir)
        ended = cancel(sweep, split_numbers(self.trials))
        which = f"trials {', '.join(map(str, ended))} end" if ended else "no trial runs or waits"
        print(f"sweep {sweep.name}: {which}")
        return 0
