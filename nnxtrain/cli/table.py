"""Tables: drawn on a terminal, plain aligned columns in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print rows under their columns; numbers get six significant digits."""
    cells = [[_cell(value) for value in row] for row in rows]
    # Rich takes FORCE_COLOR for a terminal, so it is not asked.
    if sys.stdout.isatty():
        _draw(columns, cells, title)
        return
    if title:
        print(title)
    widths = [max(map(len, column)) for column in zip(columns, *cells)]
    for row in [columns, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _draw(columns: Sequence[str], rows: list[list[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
