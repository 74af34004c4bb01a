"""docs/tour.md is run as it stands; what it says is printed is printed."""

import contextlib
import io
import re
from pathlib import Path

TOUR = Path(__file__).parent.parent / "docs" / "tour.md"


def blocks(text):
    """(line number, code) of each Python block."""
    return [
        (text[: m.start()].count("\n") + 2, m.group(1))
        for m in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def expected_output(code):
    """The comments after print(...) on its line, or on the lines that follow the block of the print."""
    lines, seen = [], False
    for line in code.splitlines():
        if match := re.match(r"\s*print\(.*\)  # (.*)", line):
            lines.append(match.group(1))
        elif re.match(r"\s+print\(", line):
            seen = True
        elif seen and line.startswith("# "):
            lines.append(line[2:])
    return lines


def test_every_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "tour"}
    count = 0
    for line, code in blocks(TOUR.read_text()):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + code, str(TOUR), "exec"), namespace)
        printed = [p.rstrip() for p in out.getvalue().splitlines()]
        assert printed == expected_output(code), f"the block at line {line} of {TOUR.name}"
        count += len(printed)
    assert count > 35


def test_the_expected_output_is_read_from_comments():
    assert expected_output("print(1)  # 1\nfor i in x:\n    print(i)\n# 2\n# 3\n") == [
        "1",
        "2",
        "3",
    ]
