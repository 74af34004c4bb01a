"""The benchmark of whole networks runs, and its steps compute the same as those written by hand in plain JAX."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "networks.py"


def test_nnxtrains_steps_are_those_by_hand():
    networks, sides = ("transformer", "lstm"), ("nnxtrain fit", "plain JAX")
    command = [sys.executable, SCRIPT, "--smoke", "--json", "--networks", *networks]
    command += ["--only", *sides]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = [(row["network"], row["contestant"]) for row in rows]
    assert found == [(n, c) for n in networks for c in sides]
    losses = [float(row["loss after 3 steps"]) for row in rows]
    for ours, by_hand in zip(losses[::2], losses[1::2]):
        assert abs(ours - by_hand) < 1e-4
    assert all(float(row["ms a step"]) > 0 for row in rows)
