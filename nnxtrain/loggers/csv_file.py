"""``metrics.csv``: one row a step, one column for each metric of each split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nnxtrain.loggers.logger import Line
from nnxtrain.storage.atomic_write import atomic_write

Row = dict[str, Any]
FIRST = ("step", "epoch")


class CsvFile:
    """Writes a row when the next step's first line comes, or the run ends.

    The file is that of :func:`rows` of all lines, however often the run was stopped and resumed.
    """

    def open(self, directory: Path, config: dict[str, Any], history: Sequence[Line]) -> None:
        self._path = directory / "metrics.csv"
        self._columns = list(FIRST)
        done = rows(history)
        self._row = done.pop() if done else {}  # the next line may belong to it
        self._write_anew(done)

    def log(self, line: Line) -> None:
        row = _row(line)
        if _belong(self._row, row):
            self._row |= row
        else:
            self._append()
            self._row = row

    def close(self, status: str) -> None:
        self._append()

    def _append(self) -> None:
        if not self._row:
            return
        if set(self._row) <= set(self._columns):
            with open(self._path, "a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(self._row)
        else:  # a metric is met for the first time: one more column
            with open(self._path, encoding="utf-8", newline="") as file:
                done: list[Row] = list(csv.DictReader(file))
            self._write_anew([*done, self._row])
        self._row = {}

    def _write_anew(self, done: Sequence[Row]) -> None:
        self._columns = list(dict.fromkeys([*self._columns, *(key for row in done for key in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(done)
        atomic_write(self._path, text.getvalue().encode())


def rows(lines: Iterable[Line]) -> list[Row]:
    """Return lines as rows: those of one step that follow each other make one.

    >>> rows([Line(5, 1.0, "train", 0.0, {"loss": 0.5}), Line(5, 1.0, "val", 0.1, {"loss": 0.6})])
    [{'step': 5, 'epoch': 1.0, 'train/loss': 0.5, 'val/loss': 0.6}]
    """
    done: list[Row] = []
    for line in lines:
        row = _row(line)
        if done and _belong(done[-1], row):
            done[-1] |= row
        else:
            done.append(row)
    return done


def _row(line: Line) -> Row:
    return {"step": line.step, "epoch": line.epoch, **line.tagged()}


def _belong(row: Row, later: Row) -> bool:
    """Whether two rows are of one step and have no metric in common."""
    return bool(row) and row["step"] == later["step"] and set(row) & set(later) == set(FIRST)
