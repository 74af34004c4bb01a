"""The benchmark of growth runs, counts what it says, and draws its curves."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "growth.py"


def test_every_kind_of_growth_is_measured_and_drawn(tmp_path):
    picture = tmp_path / "images" / "growth.svg"
    command = [sys.executable, SCRIPT, "--smoke", "--json", "--svg", picture]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    values = {}
    for row in rows:
        values.setdefault(row["what grows"], []).append(row["value"])
    assert values == {
        "batch": [8, 16],
        # 64 features, two hidden layers of 8 or 16, 10 classes
        "width (parameters)": [64 * n + n + n * n + n + n * 10 + 10 for n in (8, 16)],
        "depth (layers)": [2, 3],
        "Variables": values["Variables"],
        "examples, a step": [100, 200],
        "examples, to start": [100, 200],
    }
    one, two = values["Variables"]
    assert two - one == 2 * 3  # a layer more: kernel and bias, and Adam's two moments of each
    assert all(row["nnxtrain µs"] > 0 for row in rows)
    lines = ElementTree.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}polyline")
    assert len(list(lines)) == 2 * len(values)
