"""The benchmarks of starting, of checkpoints and of input run; what they measure is no matter here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.mark.parametrize(
    ("script", "columns"),
    [
        ("start.py", {"model", "cache", "first step, s", "composed", "built", "programs (read)"}),
        ("input.py", {"source", "data_wait", "fetch, ms", "step, ms"}),
        ("checkpoint.py", {"step after a save, s", "save(), s", "durable, s", "peak with, GiB"}),
    ],
)
def test_smoke(script: str, columns: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / script), "--smoke", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert columns <= set(rows[0])
