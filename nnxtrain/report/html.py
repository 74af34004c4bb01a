"""Small pieces of HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    keys: bool = False,
    attributes: Sequence[str] = (),
) -> str:
    """Return a table that scrolls sideways where it is too wide; the first cell of a row is its heading.

    Numbers stand to the right. With ``keys`` the cells are code: dotted keys and their values.
    ``attributes`` are those of each row, as HTML.
    """
    rows = list(rows)
    numeric = [
        bool(rows) and all(_is_number(row[i]) or row[i] in ("", None) for row in rows)
        for i in range(len(columns))
    ]
    classes = [
        ("key" if i == 0 else "value") if keys else "number" if right else ""
        for i, right in enumerate(numeric)
    ]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>'
        for name, kind in zip(columns, classes)
    )
    tags = [f"<tr {given}>" for given in attributes] or ["<tr>"] * len(rows)
    body = "".join(f"{tag}{_row(row, classes)}</tr>" for tag, row in zip(tags, rows))
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    label = escape(caption or columns[0])
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>{said}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Any], classes: Sequence[str]) -> str:
    first, *rest = (f'class="{kind}">{text(value)}' for value, kind in zip(row, classes))
    return f'<th scope="row" {first}</th>' + "".join(f"<td {cell}</td>" for cell in rest)


def text(value: Any) -> str:
    """Return a value as escaped text: floats by four digits, None and NaN as a dash.

    >>> [text(x) for x in (0.98765, float("nan"), None, 12, "<b>")]
    ['0.9877', '-', '-', '12', '&lt;b&gt;']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def section(title: str, *content: str) -> str:
    """Return a headed part of the page; ``""`` where there is no content."""
    inside = "".join(content)
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def details(summary: str, content: str) -> str:
    """Return a part that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def code(source: str) -> str:
    return f'<pre tabindex="0">{escape(source)}</pre>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
