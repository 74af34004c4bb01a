"""All tables come from one command, with the machine; what they measure is no matter here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ALL = Path(__file__).parents[2] / "scripts" / "bench" / "all.py"
COLUMNS = {
    "start": {"model", "cache", "first step, s", "composed", "built", "programs (read)"},
    "checkpoint": {"step after a save, s", "save(), s", "durable, s", "peak with, GiB"},
    "input": {"source", "data_wait", "fetch, ms", "step, ms"},
}


def test_tables_are_made_one_after_another(tmp_path: Path) -> None:
    command = [sys.executable, ALL, "--smoke", "--out", tmp_path, "--only", *COLUMNS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, columns in COLUMNS.items():
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert columns <= found["rows"][0].keys()
        assert found["command"][-2:] == ["--smoke", "--json"]
        assert found["versions"]["jax"]
        assert f"## {name}\n\n| " in done.stdout
    assert (tmp_path / "tables.md").read_text().strip() == done.stdout.strip()


def test_a_table_that_cannot_be_made_fails_the_command_and_leaves_the_others(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bench"
    folder.mkdir()
    for name in ("all.py", "turns.py"):
        (folder / name).write_text((ALL.parent / name).read_text())
    (folder / "input.py").write_text("raise SystemExit('no data')")
    (folder / "slide.py").write_text("""print('{"function": "f"}')""")
    command = [sys.executable, folder / "all.py", "--out", tmp_path, "--only", "input", "calls"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "input: input.py --json failed" in done.stderr
    assert "| f |" in done.stdout
    assert not (tmp_path / "input.json").exists()
