"""``nnxtrain sweep table``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.sweep_argument import find_sweep, runs_dir, sweep_name
from nnxtrain.errors import InputError, RunError, nearest

SUFFIXES = (".csv", ".md")


@dataclass(frozen=True)
class SweepTable(Command):
    """Print the results of a sweep, the best first, with the keys that differ.

    Trials that differ in their seed alone are one row: mean ± standard deviation of those that have
    finished. Ranked by the monitored validation metric; the test split ranks nothing.

    examples:
      nnxtrain sweep table                     the newest sweep
      nnxtrain sweep table NAME out=table.md   or .csv: a line for each trial, numbers in full
    """

    sweep: tuple[str, ...] = sweep_name()
    out: str | None = argument("write FILE.csv or FILE.md", metavar="FILE")
    runs_dir: str = runs_dir()
    json: bool = flag("print one JSON object")
    force: bool = flag("replace a file that is there")

    def __call__(self) -> int:
        from nnxtrain.cli.sweep_board import print_ranking
        from nnxtrain.storage.atomic_write import atomic_write
        from nnxtrain.sweep.results import differing_keys, rank, results_of
        from nnxtrain.sweep.table import as_csv, as_json, as_markdown, failures

        sweep = find_sweep(self.sweep, self.runs_dir)
        results = results_of(sweep)
        if self.out is None and not self.json:
            print_ranking(sweep, results)
            return 0
        ranking = rank(results)
        if self.json:
            print(as_json(ranking, sweep.path))
        if self.out is None:
            return 0
        path = Path(self.out)
        if path.suffix not in SUFFIXES:
            raise InputError(
                f"out={path}: expected a name that ends in {' or '.join(SUFFIXES)}{nearest(path.suffix, SUFFIXES)}"
            )
        if path.exists() and not self.force:
            raise InputError(
                f"{path} exists; add --force to replace it, or choose another out=FILE"
            )
        lines = failures(results, differing_keys(results))
        text = as_csv(ranking, sweep.path) if path.suffix == ".csv" else as_markdown(ranking, lines)
        try:
            atomic_write(path, text.encode())
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        print(path)
        return 0
