"""The details of an evaluation as tables that fit their window."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from nnxtrain.tasks.class_metrics import confusions
from nnxtrain.training.progress import printable
from nnxtrain.training.results_table import print_results

MOST_ROWS = 20
MOST_CONFUSIONS = 10
PIPE_WIDTH = 200  # off the terminal nobody's window limits the width


def print_details(
    details: Mapping[str, Any], *, stream: TextIO | None = None, width: int | None = None
) -> None:
    """Print what :func:`nnxtrain.training.details.details` gives.

    Of many classes the worst by F1 are shown; a confusion matrix that is wider than the window gives way to a list of its
    largest entries.

    Args:
      stream: where to; default standard output.
      width: of the window, in characters; default that of the terminal, or 200.
    """
    stream = stream or sys.stdout
    width = width or _width(stream)
    for key, columns in (("classes", "class"), ("targets", "target")):
        if key in details:
            title, rows = _worst(details[key], columns, key)
            print(f"\n{title}", file=stream)
            print_results(rows, stream=stream)
    if "confusion_matrix" in details:
        names, matrix = details["class_names"], details["confusion_matrix"]
        text = _matrix(names, matrix)
        if text is None or max(map(len, text)) > width:
            _print_confusions(names, matrix, stream)
        else:
            print("\nconfusion matrix (a row for each true class, a column for each predicted)\n", file=stream)  # fmt: skip
            print("\n".join(printable(line, stream) for line in text), file=stream)
    for name, values in details.items():
        if isinstance(values, list) and values and all(isinstance(v, float) for v in values):
            print(file=stream)
            print_results(_evenly(name, values), stream=stream)


def _worst(
    rows: Sequence[Mapping[str, Any]], key: str, plural: str
) -> tuple[str, list[Mapping[str, Any]]]:
    """A title, and the rows themselves or the worst of them: by F1, or by the largest error."""
    if len(rows) <= MOST_ROWS:
        return plural, list(rows)
    if key == "class":
        known = [row for row in rows if row["f1"] == row["f1"]]
        ranked = sorted(known, key=lambda row: row["f1"])
        by = "F1"
    else:
        ranked = sorted(rows, key=lambda row: -row["rmse"])
        by = "rmse"
    return f"the worst {MOST_ROWS} of {len(rows)} {plural} by {by}", ranked[:MOST_ROWS]


def _evenly(name: str, values: Sequence[float]) -> list[dict[str, Any]]:
    """Some of a list's numbers with their places, from the first to the last."""
    steps = min(len(values), MOST_ROWS) - 1
    places = [round(i * (len(values) - 1) / max(steps, 1)) for i in range(steps + 1)]
    return [{"place": place, name: values[place]} for place in places]


def _matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[str] | None:
    """The matrix as lines of text; None for one too large to be read."""
    if len(names) > MOST_ROWS:
        return None
    cells = [["", *names], *([name, *map(str, row)] for name, row in zip(names, matrix))]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))])
        for first, *rest in cells
    ]


def _print_confusions(
    names: Sequence[str], matrix: Sequence[Sequence[int]], stream: TextIO
) -> None:
    """The pairs of classes that are taken for each other most often."""
    found = [
        {
            "true": names[c.true],
            "predicted": names[c.predicted],
            "count": c.examples,
            "share of true": c.share,
        }
        for c in confusions(np.asarray(matrix), MOST_CONFUSIONS)
    ]
    print("\nmost frequent confusions" if found else "\nno confusions", file=stream)
    if found:
        print_results(found, stream=stream)


def _width(stream: TextIO) -> int:
    if not stream.isatty():
        return PIPE_WIDTH
    from rich.console import Console

    return Console(file=stream).width
