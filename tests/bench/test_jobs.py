"""scripts/bench/jobs.py, with a few steps of what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_whole_job_of_nnxtrain_and_of_the_script_by_hand():
    command = [sys.executable, "scripts/bench/jobs.py", "--smoke", "--tables", "whole", "--json"]
    command += ["--caches", str(ROOT / ".cache/jobs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["job"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == ["nnxtrain fit", "JAX by hand"]
    assert rows["JAX by hand"]["/ JAX by hand's"] == "1.00 (1.00..1.00)"
    turns = {turn["name"]: turn for turn in map(json.loads, done.stderr.splitlines())}
    for turn in turns.values():
        assert turn["parameters"] == 136_461
        assert turn["images_per_second"] > 0
        assert 0 <= turn["accuracy"] <= 1
    peer = turns["JAX by hand"]
    assert {"start", "train", "evaluate", "save", "restore", "test", "exit"} <= set(peer["seconds"])
    assert len(peer["epochs"]) == 2
    assert sum(peer["seconds"].values()) <= peer["wall"] + 0.1
