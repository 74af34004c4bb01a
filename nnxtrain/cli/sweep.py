"""``nnxtrain sweep``: many runs from one command."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.errors import InputError, nearest


@dataclass(frozen=True)
class Sweep(Command):
    r"""Train once for each combination of values, or for some that are drawn or found.

    A key with several values, a,b or choice(a,b), range(1,9,2), interval(0.0,0.5),
    tag(log,interval(1e-4,1e-1)), int(interval(1,8)), is what is searched. All trials are checked
    before the first one starts. They run in the background: closing the terminal ends none of them.

    keys of the sweep itself, here or in a file:
      sweep.sampler    grid (every combination), random, or tpe (Optuna's, learns from those that ended)
      sweep.trials     how many, for random and tpe
      sweep.pruner     none, median or hyperband: give up poor trials at their evaluations
      sweep.launcher   local, slurm or ray; sweep.local.KEY, sweep.slurm.KEY, sweep.ray.KEY
      sweep.parallel   trials at once
      sweep.name       of its directory under runs/sweeps
      sweep.seed       of the sampler

    examples:
      nnxtrain sweep optim.learning_rate=1e-4,1e-3,1e-2 seed=1,2,3
      nnxtrain sweep sweep.sampler=tpe sweep.trials=40 sweep.pruner=median \
               'optim.learning_rate=tag(log,interval(1e-4,1e-1))'
      nnxtrain sweep seed=1,2,3 sweep.launcher=slurm sweep.slurm.partition=gpu
      nnxtrain sweep file=learning_rates.yaml sweep.parallel=4
    """

    overrides: tuple[str, ...] = rest(
        "key=value as for fit, some with several values; sweep.KEY=VALUE", metavar="OVERRIDE"
    )
    file: str | None = argument("a YAML file with keys of the sweep and overrides", metavar="FILE")
    detach: bool = flag("return at once; `nnxtrain sweep status` looks at it")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain.cli.main import VERBS

        verbs = [verb.removeprefix("sweep ") for verb in VERBS if verb.startswith("sweep ")]
        for word in self.overrides:
            if "=" not in word and (hint := nearest(word, verbs)):
                raise InputError(f"no command 'sweep {word}'{hint}")
        from nnxtrain.cli.sweep_board import follow
        from nnxtrain.sweep.start import start

        open_packages(self.package)
        sweep = start(
            self.overrides,
            file=Path(self.file) if self.file else None,
            config_dirs=self.config_dir,
            packages=self.package,
            command=["nnxtrain", *sys.argv[1:]],
            before=lambda line: print(line, flush=True),
        )
        print(f"sweep {sweep.name}: {len(sweep.numbers)} trials", flush=True)
        return follow(sweep, detach=self.detach)
