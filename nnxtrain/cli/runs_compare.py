"""``nnxtrain runs compare``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.table import print_table
from nnxtrain.errors import InputError
from nnxtrain.storage.json_values import finite


@dataclass(frozen=True)
class RunsCompare(Command):
    """Show what differs between the configurations of runs, and their results, side by side.

    examples:
      nnxtrain runs compare runs/A runs/B
      nnxtrain runs compare runs/* --json
    """

    directories: tuple[str, ...] = rest("a run directory", metavar="DIR")
    run: tuple[str, ...] = argument("the same; repeatable", (), metavar="DIR")
    json: bool = flag("print one JSON object")

    def __call__(self) -> int:
        from nnxtrain.config.compare import differing, flat, shown
        from nnxtrain.training.run_directory import RunDirectory
        from nnxtrain.training.run_summary import duration, summarize

        given = dict.fromkeys((*self.run, *self.directories))
        runs = [summarize(RunDirectory.open(path)) for path in given]
        if len(runs) < 2:
            raise InputError(
                f"runs compare: give two runs or more, got {len(runs)}; `nnxtrain runs list` names them"
            )
        config = differing([flat(run.directory.config_path) for run in runs])
        names = list(dict.fromkeys(name for run in runs for name in run.test))
        results: dict[str, list[Any]] = {
            "status": [run.state for run in runs],
            "step": [run.step for run in runs],
            **{
                f"best validation {monitor}": [
                    run.best if run.monitor == monitor else None for run in runs
                ]
                for monitor in dict.fromkeys(run.monitor for run in runs if run.best is not None)
            },
            **{f"test {name}": [run.test.get(name) for run in runs] for name in names},
            "seconds": [run.seconds for run in runs],
        }
        if self.json:
            paths = [str(run.directory.path) for run in runs]
            plain = {
                key: [None if v is ... else v for v in values] for key, values in config.items()
            }
            print(
                json.dumps(
                    finite({"runs": paths, "config": plain, "results": results}), allow_nan=False
                )
            )
            return 0
        labels = [_label(number) for number in range(len(runs))]
        print_table(["", "run"], [(x, run.directory.path) for x, run in zip(labels, runs)])
        print()
        rows = [[key, *map(shown, values)] for key, values in config.items()]
        if rows:
            print_table(["configuration", *labels], rows)
        else:
            print("the configurations are the same")
        print()
        results["took"] = [duration(seconds) for seconds in results.pop("seconds")]
        shown_results = [
            [key, *("" if v is None else v for v in row)] for key, row in results.items()
        ]
        print_table(["result", *labels], shown_results)
        return 0


def _label(number: int) -> str:
    """Return A, B, … Z, AA, AB, … for 0, 1, …: names of runs are too long to stand side by side.

    >>> _label(0), _label(25), _label(27)
    ('A', 'Z', 'AB')
    """
    letter = chr(ord("A") + number % 26)
    return letter if number < 26 else _label(number // 26 - 1) + letter
