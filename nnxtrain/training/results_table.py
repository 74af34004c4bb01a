"""The table at the end of a run or an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from nnxtrain.training.progress import format_metric, printable


def print_results(
    rows: Sequence[Mapping[str, Any]], *, title: str | None = None, stream: TextIO | None = None
) -> None:
    """Print one line a row, with the rows' keys, in the order they are met, as columns.

    Numbers stand to the right, text to the left; what a row lacks stays empty.

    >>> print_results([{"split": "val", "accuracy": 0.9123}, {"split": "test", "loss": 0.3}])
    ... # doctest: +NORMALIZE_WHITESPACE
    split   accuracy    loss
    ────────────────────────
    val        0.912
    test               0.300
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = stream or sys.stdout
    # Off the terminal nobody's window limits the width; a table takes only what it needs.
    console = Console(file=stream, width=None if stream.isatty() else 200)
    table = Table(
        box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False
    )
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in columns:
        if all(isinstance(row.get(name, ""), str) for row in rows):
            table.add_column(Text(name), overflow="fold")
        else:
            table.add_column(Text(name), justify="right", no_wrap=True)
    for row in rows:
        cells = [format_metric(row[name]) if name in row else "" for name in columns]
        table.add_row(*(Text(printable(cell, stream)) for cell in cells))
    console.print(table)
