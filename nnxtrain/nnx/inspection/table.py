"""The rows of ``nnx.tabulate`` as a table, or, where that is too wide, as a list."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnxtrain.nnx.inspection.contents import Contents
from nnxtrain.nnx.inspection.sizes import total_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nnxtrain.nnx.inspection.tabulate import Row


def render(
    title: str,
    rows: Sequence[Row],
    contents: Contents,
    table_kwargs: Mapping[str, Any],
    column_kwargs: Mapping[str, Any],
    console_kwargs: Mapping[str, Any],
) -> str:
    """The text of the table; see ``nnx.tabulate`` for the parameters."""
    from rich.console import Console
    from rich.measure import Measurement

    table = _table(title, rows, contents, table_kwargs, column_kwargs)
    terminal = sys.stdout.isatty()
    options: dict[str, Any] = {"force_terminal": terminal, "force_jupyter": False}
    options |= console_kwargs
    wide = Console(file=io.StringIO(), width=10_000)
    room = Measurement.get(wide, wide.options, table)
    if "width" not in options:
        told = terminal or "COLUMNS" in os.environ
        options["width"] = shutil.get_terminal_size().columns if told else room.maximum
    console = Console(**{"file": io.StringIO(), **options})
    with console.capture() as captured:
        if room.minimum <= options["width"]:
            console.print(table)
        else:
            _print_list(console, title, rows, contents)
    return captured.get()


def _table(
    title: str,
    rows: Sequence[Row],
    contents: Contents,
    table_kwargs: Mapping[str, Any],
    column_kwargs: Mapping[str, Any],
) -> Table:
    from rich.table import Table
    from rich.text import Text

    options = {"show_header": True, "show_lines": True, "show_footer": True, "title": title}
    table = Table(**{**options, **table_kwargs})
    names = ["path", "type", *_call_columns(rows), *contents.kinds]
    footers = dict.fromkeys(names, "")
    footers |= {kind: str(contents.sizes[0][kind]) for kind in contents.kinds}
    if contents.kinds:
        footers[names[-len(contents.kinds) - 1]] = "Total"
    for name in names:
        table.add_column(name, **{"footer": Text(footers[name], "bold"), **column_kwargs})
    for row in rows:
        cells = [Text(_path(row)), Text(row.type.__name__)]
        cells += [Text(text) for text in _call_columns(rows, row).values()]
        for kind in contents.kinds:
            *lines, size = _held(row, kind, contents) or [""]
            text = Text("\n".join([*lines, "", ""]) if lines else "")
            cells.append(text.append(size, "bold"))
        table.add_row(*cells)
    if contents.kinds and table.caption is None:
        table.caption = Text(f"Total: {total_size(contents.sizes[0])}", "bold")
    return table


def _print_list(console: Console, title: str, rows: Sequence[Row], contents: Contents) -> None:
    """Each row as a few lines; the sizes of a kind stand in line with its name."""
    from rich.text import Text

    console.print(Text(title, "bold"), soft_wrap=True)
    console.print()
    for row in rows:
        path, _, calls = _path(row).partition("\n")
        text = Text.assemble((path or "(whole)", "bold"), " ", (row.type.__name__, "cyan"))
        console.print(text.append(f" ({calls})" if calls else "", "dim"))
        fields = {name: text.split("\n") for name, text in _call_columns(rows, row).items()}
        fields |= {kind: _held(row, kind, contents) for kind in contents.kinds}
        margin = max(map(len, fields), default=0) + 2
        for name, lines in fields.items():
            for number, line in enumerate(line for line in lines if line):
                head = f"{'' if number else name:<{margin}}"
                console.print(Text(f"  {head}{line}"), overflow="fold")
    if contents.kinds:
        console.print(Text(f"Total: {total_size(contents.sizes[0])}", "bold"))


def _path(row: Row) -> str:
    path = ".".join(map(str, row.path))
    return f"{path}\n{row.calls} calls" if row.calls > 1 else path


def _call_columns(rows: Sequence[Row], row: Row | None = None) -> dict[str, str]:
    """What the columns about the call are, and their texts in ``row``."""
    columns = {
        "inputs": row.inputs_repr if row else "",
        "outputs": row.outputs_repr if row else "",
    }
    for name in ("flops", "vjp_flops"):
        if any(getattr(each, name) is not None for each in rows):
            columns[name] = f"{getattr(row, name):,}" if row else ""
    return columns


def _held(row: Row, kind: str, contents: Contents) -> list[str]:
    """A module's own Variables of a kind, then the size of all that are in it."""
    size = contents.sizes[row.object_id].get(kind)
    return [*contents.texts[row.object_id].get(kind, []), str(size)] if size else []
