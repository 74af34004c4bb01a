"""``nnxtrain sweep retry``."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, flag
from nnxtrain.cli.sweep_argument import (
    find_sweep,
    runs_dir,
    split_numbers,
    sweep_name,
    trial_numbers,
)


@dataclass(frozen=True)
class SweepRetry(Command):
    """Go on with the trials that failed, died, were stopped or never started; the finished stay as they are.

    Each goes on from its last checkpoint. So does a sweep whose machine was lost.

    examples:
      nnxtrain sweep retry                     the newest sweep
      nnxtrain sweep retry NAME trials=3,5-7
    """

    sweep: tuple[str, ...] = sweep_name()
    trials: str | None = trial_numbers()
    runs_dir: str = runs_dir()
    detach: bool = flag("return at once; `nnxtrain sweep status` looks at it")

    def __call__(self) -> int:
        from nnxtrain.cli.sweep_board import follow
        from nnxtrain.sweep.start import retry

        sweep = find_sweep(self.sweep, self.runs_dir)
        again = retry(sweep, split_numbers(self.trials))
        if not again:
            print(f"sweep {sweep.name}: no trial needs it")
            return 0
        print(f"sweep {sweep.name}: trials {', '.join(map(str, again))} again", flush=True)
        return follow(sweep, detach=self.detach)
