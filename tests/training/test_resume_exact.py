"""Kill -9 at any moment, resume, and compare with the run that was never killed, bit for bit."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.metrics_log import read_metrics

CONFIG = [
    "model=mlp", "model.hidden=[32]", "model.dropout_rate=0.2", "trainer.epochs=null", "trainer.steps=60",
    "trainer.batch_size=64", "trainer.log_every=7", "trainer.eval_every=20", "trainer.checkpoint_every=8",
    "optim.schedule._target_=nnxtrain.optim.cosine", "name=t", "augment=mixup", "trainer.ema=0.9",
    "trainer.accumulate=2", "trainer.steps_per_call=3",
]  # fmt: skip
CLOCK = ("time", "examples_per_second", "tokens_per_second", "data_wait")


def command(*arguments):
    return [sys.executable, "-m", "nnxtrain", "fit", *arguments]


def run(tmp_path, *arguments):
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(tmp_path):
    return subprocess.Popen(
        command(*CONFIG), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def only_run(tmp_path):
    (found,) = (tmp_path / "runs").iterdir()
    return found


def outcome(directory):
    """The last checkpoint's bytes (by array) and the metrics without the clock."""
    import numpy as np

    with Checkpoints(directory / "checkpoints") as checkpoints:
        last = checkpoints.latest()
        like = {}
        for path, (dtype, shape) in last.arrays.items():
            inner = like
            *above, name = path.split("/")
            for key in above:
                inner = inner.setdefault(key, {})
            inner[name] = np.zeros(shape, dtype)
        tree = checkpoints.restore(last, like)
    digest = hashlib.sha256()

    def feed(node, path=""):
        for key in sorted(node):
            if isinstance(node[key], dict):
                feed(node[key], f"{path}/{key}")
            else:
                digest.update(f"{path}/{key}".encode() + np.asarray(node[key]).tobytes())

    feed(tree)
    metrics = [
        {k: v for k, v in line.items() if k not in CLOCK}
        for line in read_metrics(directory / "metrics.jsonl")
    ]
    return last.step, digest.hexdigest(), metrics


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    run(path, *CONFIG)
    return outcome(only_run(path))


def lines(tmp_path):
    runs = list((tmp_path / "runs").glob("[0-9]*")) if (tmp_path / "runs").exists() else []
    path = runs[0] / "metrics.jsonl" if runs else Path("/nonexistent")
    return path.read_text().count("\n") if path.exists() else 0


def checkpoints_made(tmp_path):
    return list((tmp_path / "runs").glob("[0-9]*/checkpoints/[0-9]*"))


MOMENTS = {
    "before the first checkpoint": lambda path: lines(path) >= 1,
    "during the first save": lambda path: list(
        (path / "runs").glob("[0-9]*/checkpoints/.saving-*")
    ),
    "in the middle": lambda path: len(checkpoints_made(path)) >= 2 and lines(path) >= 4,
    "after a later save began": lambda path: list(
        (path / "runs").glob("[0-9]*/checkpoints/.saving-[3456]*")
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted, moment):
    process = start(tmp_path)
    wait_for(lambda: MOMENTS[moment](tmp_path), process)
    process.kill()
    process.wait()
    directory = only_run(tmp_path)
    assert json.loads((directory / "status.json").read_text())["state"] == "running"
    run(tmp_path, f"run={directory}")
    assert outcome(directory) == uninterrupted


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, uninterrupted):
    process = subprocess.Popen(
        command(*CONFIG), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: lines(tmp_path) >= 2, process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    directory = only_run(tmp_path)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert f"go on with: nnxtrain fit run={directory.relative_to(tmp_path)}" in errors
    run(tmp_path, f"run={directory}")
    assert outcome(directory) == uninterrupted


def test_a_finished_run_may_be_asked_again(tmp_path, uninterrupted):
    run(tmp_path, *CONFIG)
    directory = only_run(tmp_path)
    run(tmp_path, f"run={directory}")
    assert outcome(directory) == uninterrupted


def test_overrides_that_would_change_the_past_are_refused(tmp_path):
    run(tmp_path, *CONFIG[:3], "trainer.epochs=null", "trainer.steps=3", "optim.schedule=null")
    directory = only_run(tmp_path)
    for override, message in {
        "optim.learning_rate=0.1": "cannot change in a resumed run",
        "trainer.batch_size=3": "cannot change in a resumed run",
        "trainer.step=3": "did you mean 'trainer.steps'?",
        "trainer.steps=x": "trainer.steps: ",
    }.items():
        done = subprocess.run(
            command(f"run={directory}", override), capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    run(tmp_path, f"run={directory}", "trainer.steps=5")
    assert outcome(directory)[0] == 5
