"""The comparison on a GPU, as far as a machine without one can try it out: no peers, tiny sizes, no claim."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script of the folder."""
    for folder in (BENCH, BENCH / "gpu"):
        monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module


def gpu_sh(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XLA_FLAGS": ""}  # one device
    command = [BENCH / "gpu.sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_smoke_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    path, python = tmp_path / "found.json", sys.executable
    only = ["--only", "lenet", "--contestants", "nnxtrain, 1 step a call", "--no-torch"]
    done = gpu_sh("--python", python, "--smoke", *only, "--json", path)
    assert done.returncode == 0, done.stderr
    assert "**smoke on CPU: no claim**" in done.stdout
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert table[2].startswith("| lenet | 8 | nnxtrain, 1 step a call | ")
    found = json.loads(path.read_text())
    assert found["note"] == "smoke on CPU: no claim"
    assert found["machine"]["versions"]["jax"]
    (turn,) = found["turns"]["lenet"]["nnxtrain, 1 step a call"]
    assert len(turn["seconds"]) == 2
    assert len(turn["losses"]) == 3
    assert turn["losses"][-1] < turn["losses"][0]
    # By hand: two convolutions and three dense layers.
    weights = 3 * 6 * 25 + 6 * 16 * 25 + 1024 * 120 + 120 * 84 + 84 * 10
    assert turn["parameters"] == weights + 6 + 16 + 120 + 84 + 10

    again = gpu_sh("--python", python, "--smoke", *only, "--json", path)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_without_cuda_one_line_says_what_to_install(tmp_path: Path) -> None:
    python = sys.executable
    done = gpu_sh("--python", python, "--json", tmp_path / "found.json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "jax[cuda12]"' in done.stderr
    assert not list(tmp_path.iterdir())

    done = gpu_sh("--python", tmp_path / "python")
    assert done.returncode == 2
    assert "--python PATH" in done.stderr


def test_figures_are_those_of_the_turns(modules: Any) -> None:
    run, work = modules("run"), modules("work")
    gpt2 = work.sized(work.SIZES["gpt2"], batch=2)
    of = {"parameters": 125_000_000, "peak_bytes": 2**31, "losses": [10.0, 7.5]}
    taken = {
        "nnxtrain": [of | {"seconds": [0.5, 1.0]}, of | {"seconds": [1.0, 1.0]}],
        "torch.compile": [of | {"seconds": [1.0, 4.0]}, of | {"seconds": [2.0, 2.0]}],
        "other": [],
    }
    ours, theirs, other = run.rows_of(gpt2, taken, {"other": "out of memory"}, 1e15)
    assert ours["a second"] == "2048 (2048..2560) tokens"
    assert theirs["a second"] == "1024 (896..1280) tokens"
    assert theirs["nnxtrain / it"] == "2.000 (2.000..2.500)"  # of 2, 4, 2, 2
    assert other["a second"] == "failed: out of memory"
    # 6 (125e6 - 1024 · 768) + 12 · 12 · 12 · 64 · 1024 FLOPs a token, 2048 tokens a second, of 1e15
    assert ours["MFU"].startswith("0.2 ")
    assert gpt2.flops_per_step(125_000_000) == 2048 * (6 * 124_213_568 + 113_246_208)
    assert ours["memory (GiB)"] == 2.0
    assert ours["loss"] == "10.000 → 7.500"


@pytest.mark.parametrize("losses", [[2.0, float("nan")], [2.0, None], [2.0, 2.5]])
def test_a_training_that_does_not_learn_fails(modules: Any, losses: list) -> None:
    run = modules("run")
    with pytest.raises(run.FailedError, match="losses"):
        run.check({"losses": losses}, smoke=False)
    run.check({"losses": [2.0, 1.0]}, smoke=False)


def test_examples_of_the_formulas(modules: Any) -> None:
    assert doctest.testmod(modules("flops")) == (0, 2)
