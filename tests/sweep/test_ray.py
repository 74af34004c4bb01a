"""Sweeps by Ray, on this machine: a Ray that the sweep starts and ends."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from nnxtrain.errors import InputError, RunError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.ray import RayLauncher, _look_for
from nnxtrain.sweep.spec import RayConfig, SweepConfig

FLAGS = [
    "--config-dir",
    str(Path(__file__).parent.parent / "config/project/conf"),
    "--package",
    "fakes",
]
HERE = ["sweep.launcher=ray", "sweep.parallel=3", "sweep.ray.gpus=0"]


def until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'nnxtrain\[ray\]'"):
        RayLauncher(SweepConfig()).check()


def test_an_address_where_nothing_is():
    with pytest.raises(RunError, match=r"ray.address=127.0.0.1:1: nothing answers"):
        _look_for("127.0.0.1:1")
    _look_for("auto")
    _look_for(None)


def table(nnxtrain, name):
    """What a sweep came to, without its paths."""
    found = json.loads(nnxtrain("sweep", "table", name, "--json").stdout)
    for group in found["groups"]:
        del group["checkpoint"]
        for trial in group["trials"]:
            trial |= {"run": bool(trial["run"]), "checkpoint": bool(trial["checkpoint"])}
    return {key: value for key, value in found.items() if key != "sweep"}


class TestRay:
    @pytest.fixture(autouse=True)
    def _ray(self):
        pytest.importorskip("ray", reason="ray is not installed")

    def test_more_cores_than_there_are(self):
        with pytest.raises(InputError, match=r"sweep.ray.cores=9999: this machine has \d+"):
            RayLauncher(SweepConfig(ray=RayConfig(cores=9999))).check()

    @pytest.mark.slow
    def test_it_comes_to_what_the_local_launcher_comes_to(self, nnxtrain):
        wanted = ["name=a,broken", "seed=1,2"]
        done = nnxtrain("sweep", *wanted, "sweep.name=ray", *HERE, *FLAGS)
        assert done.returncode == 1, done.stderr
        assert (
            "trial 2 (name=broken seed=1) failed: the loss is not finite at step 7" in done.stdout
        )
        nnxtrain("sweep", *wanted, "sweep.name=local", *FLAGS)
        assert table(nnxtrain, "ray") == table(nnxtrain, "local")
        sweep = SweepDirectory.open("ray")
        assert "error: the loss is not finite" in sweep.log_path(2).read_text()
        assert sorted(path.name for path in sweep.logs_path.iterdir())[-1] == "manager.log"

    @pytest.mark.slow
    def test_cancelled_stopped_and_retried(self, nnxtrain, states):
        nnxtrain("sweep", "name=slow", "seed=1,2,3", "sweep.name=r", *HERE, "--detach", *FLAGS)
        sweep = SweepDirectory.open("r")
        until(lambda: all((sweep.trial_path(n) / "metrics.jsonl").exists() for n in range(2)))
        cancelled = nnxtrain("sweep", "cancel", "r", "trials=0,2")
        assert cancelled.returncode == 0, cancelled.stderr
        until(lambda: states("r")[0] == "stopped")
        assert states("r") == ["stopped", "running", "stopped"]
        manager = sweep.launches[-1]["pid"]
        os.kill(manager, signal.SIGTERM)
        until(lambda: states("r")[1] == "stopped")
        assert len((sweep.trial_path(1) / "metrics.jsonl").read_text().splitlines()) == 5

        Path("go").touch()
        done = nnxtrain("sweep", "retry", "r")
        assert done.returncode == 0, done.stderr
        assert states("r") == ["finished"] * 3
