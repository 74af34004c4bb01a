"""Tables on a terminal keep every character, however narrow it is."""

import io
import re
import sys

import pytest

from nnxtrain.cli.table import print_table

COLUMNS = ["run", "status", "best validation", "test"]
ROWS = [["2026-11-22_07-22-05_lenet_shapes5_nctg", "finished", 0.325833333, ""]]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def drawn(monkeypatch):
    def drawn(width, columns, rows):
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        print_table(columns, rows)
        text = re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    return drawn


def test_drawn_where_it_fits(drawn):
    head, line, row = drawn(100, COLUMNS, ROWS)
    assert head.split() == ["run", "status", "best", "validation", "test"]
    assert set(line.strip()) == {"─"}
    assert row.split() == [ROWS[0][0], "finished", "0.325833"]


def test_a_paragraph_for_each_row_where_it_does_not(drawn):
    assert drawn(40, COLUMNS, ROWS) == [
        "run 2026-11-22_07-22-05_lenet_shapes5_nctg",
        "  status finished, best validation",
        "  0.325833",
    ]
    assert drawn(20, COLUMNS, ROWS)[0] == f"run {ROWS[0][0]}"


def test_few_columns_fold(drawn):
    path = "/folder/" + "long_name/" * 6
    rows = drawn(40, ["option", "file"], [["a=b", path]])[2:]
    assert "".join(row.split()[-1] for row in rows) == path
    assert max(map(len, rows)) <= 40
