"""Tables: drawn on a terminal, plain aligned columns in a pipe, a paragraph a row where the window is too narrow."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print rows under their columns; numbers get six significant digits.

    A table of two or three columns folds its texts to fit a narrow window. A wider one becomes paragraphs, the first cell
    on a line of its own, as it is what one would copy.
    """
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
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    wanted = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if len(columns) < 4 or wanted <= console.width:
        console.print(table)
        return
    if title:
        console.print(title, markup=False)
    for first, *others in rows:
        told = [f"{name} {cell}".strip() for name, cell in zip(columns[1:], others) if cell]
        print(f"{columns[0]} {first}")  # never broken, so that it can be copied
        console.print(Padding(Text(", ".join(told)), (0, 0, 0, 2)))


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
