"""What a running sweep looks like on the screen, and what is said when it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from nnxtrain.cli.table import print_table
from nnxtrain.errors import Interrupted
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers import make_launcher
from nnxtrain.sweep.results import Result, differing_keys, rank, results_of
from nnxtrain.sweep.spec import LauncherName
from nnxtrain.sweep.states import DONE, OPEN, counts
from nnxtrain.sweep.table import columns, failures, label, rows

SHOWN = 20  # lines of a board


def follow(sweep: SweepDirectory, *, detach: bool) -> int:
    """Watch a sweep that was just launched to its end, or say how to look at it; return the exit code.

    What waits in a cluster's queue is not waited for.
    """
    if detach or sweep.spec.launcher is LauncherName.slurm:
        print(f"look at it: nnxtrain sweep status {sweep.called}")
        return 0
    watch(sweep)
    return finish(sweep)


def watch(sweep: SweepDirectory) -> None:
    """Show how the trials stand until none runs or waits: a board on a terminal, elsewhere a line for each that ends.

    Raises Interrupted at Ctrl-C; the trials go on.
    """
    every = make_launcher(sweep.spec).pause
    try:
        if sys.stdout.isatty():
            _watch_board(sweep, every)
        else:
            _watch_lines(sweep, every)
    except KeyboardInterrupt:
        raise Interrupted(
            f"the trials go on: `nnxtrain sweep status {sweep.called}` shows them, `sweep cancel` ends them"
        ) from None


def _watch_lines(sweep: SweepDirectory, every: float) -> None:
    told: dict[int, str] = {}
    while True:
        results = results_of(sweep)
        keys = differing_keys(results)
        ended = sum(result.trial.state not in OPEN for result in results)
        for result in results:
            trial = result.trial
            if trial.state == "waiting" or told.get(trial.number) == trial.state:
                continue
            told[trial.number] = trial.state
            count = "" if trial.state == "running" else f" ({ended} of {len(results)})"
            score = f": {_score(result)}" if _score(result) and count else ""
            error = f": {trial.error}" if trial.error else ""
            values = label(result, keys)
            name = f"trial {trial.number} ({values})" if values else f"trial {trial.number}"
            print(f"{name} {trial.state}{score}{error}{count}", flush=True)
        if ended == len(results):
            return
        time.sleep(every)


def _watch_board(sweep: SweepDirectory, every: float) -> None:
    from rich.live import Live

    with Live(refresh_per_second=4) as live:
        while True:
            results = results_of(sweep)
            live.update(_board(sweep, results))
            if not any(result.trial.state in OPEN for result in results):
                return
            time.sleep(every)


def _board(sweep: SweepDirectory, results: Sequence[Result]) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    keys = differing_keys(results)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("trial", "values", "state", "step", "best validation"):
        table.add_column(column, overflow="fold")
    # What happens now comes first, then the last that ended.
    running = [result for result in results if result.trial.state == "running"]
    ended = [result for result in results if result.trial.state not in OPEN]
    for result in [*running, *reversed(ended)][:SHOWN]:
        table.add_row(*map(Text, _cells(result, keys)))
    return Group(Text(f"sweep {sweep.name}: {counts(r.trial.state for r in results)}"), table)


def finish(sweep: SweepDirectory) -> int:
    """Print the table of a sweep and return the exit code: 1 if a trial did not end well."""
    results = results_of(sweep)
    print_ranking(sweep, results)
    return 1 if any(r.trial.state not in DONE for r in results) else 0


def print_ranking(sweep: SweepDirectory, results: Sequence[Result]) -> None:
    """Print the ranked table, the best checkpoint, and what failed."""
    ranking = rank(results)
    print_table(columns(ranking), rows(ranking))
    best = ranking.groups[0].best if ranking.groups else None
    if best and best.checkpoint:
        print(f"best checkpoint: {best.checkpoint}")
    print(f"sweep: {sweep.path}")
    for line in failures(results, differing_keys(results)):
        print(f"error: {line}", file=sys.stderr)
    again = [r for r in results if r.trial.state not in (*OPEN, *DONE)]
    if again:
        print(
            f"{len(again)} of {len(results)} trials have not ended well (logs: {sweep.logs_path}); "
            f"to go on with them: nnxtrain sweep retry {sweep.called}",
            file=sys.stderr,
        )


def status_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """A row for each trial: number, values, state, step, best score, attempts."""
    keys = differing_keys(results)
    for result in results:
        yield [*_cells(result, keys), str(result.trial.attempts)]


def _cells(result: Result, keys: Sequence[str]) -> list[str]:
    run = result.run
    step = f"{run.step}/{run.total_steps or '?'}" if run else ""
    return [
        str(result.trial.number),
        label(result, keys),
        result.trial.state,
        step,
        _score(result),
    ]


def _score(result: Result) -> str:
    if result.run is None or result.score is None:
        return ""
    return f"{result.run.monitor} {result.score:.4g}"
