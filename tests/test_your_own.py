"""docs/your-own.md, exactly as written: a package and configurations outside of nnxtrain, and the commands on them."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "your-own.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for name, text in BLOCKS if not name for line in text.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("nnxtrain ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, text in BLOCKS:
        if name:
            path = folder / re.search(r"^# (\S+/\S+)$", text, re.MULTILINE)[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def test_the_page_works_as_it_is_written(project):
    printed = {}
    environment = {k: v for k, v in os.environ.items() if k != "NNXTRAIN_CHECK_STRUCTURE"}
    for command in COMMANDS:
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "nnxtrain", *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, (command, done.stderr)
        printed[command] = done.stdout
    listing, check, fit, evaluation, _, focal = printed.values()
    assert "residual" in listing
    assert "overfit" in check
    last = fit.splitlines()[-2].split()
    assert last[0] == "test"
    assert float(last[2]) > 0.95
    assert "arm 2" in evaluation
    with open(project / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 600
    assert {row["prediction"] for row in rows} == {"arm 0", "arm 1", "arm 2"}
    assert "test" in focal
