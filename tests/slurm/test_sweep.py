"""Sweeps as arrays of jobs, with a stand-in for training: preempted, failed, cancelled, gone on with."""

import json
import os
import sys
from pathlib import Path

import pytest

from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.states import trials_of

TESTS = Path(__file__).parents[1]
PROJECT = TESTS / "config" / "project"


@pytest.fixture
def sweep(jobs, monkeypatch):
    """Run ``nnxtrain sweep ...``; ``states`` asks for those of the trials of sweep s."""
    folders = [TESTS / "cli" / "standin", PROJECT, TESTS.parent]
    jobs.environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    monkeypatch.chdir(jobs.folder)
    monkeypatch.setenv("SLURM_CONF", jobs.environment["SLURM_CONF"])

    def call(*words):
        return jobs.run(sys.executable, "-m", "nnxtrain", "sweep", *words)

    return call


def begin(sweep, *words):
    """Start a sweep named s, and return the job of each trial."""
    flags = ["--config-dir", str(PROJECT / "conf"), "--package", "fakes"]
    slurm = {"partition": "debug", "minutes": 30, "cpus": 1, "memory": 0.5, "gpus": 1, "setup": "['touch set_up']",
             "extra.comment": "ours"}  # fmt: skip
    asked = [f"sweep.slurm.{key}={value}" for key, value in slurm.items()]
    said = sweep(*words, "sweep.name=s", "sweep.launcher=slurm", *asked, *flags)
    assert said.endswith("look at it: nnxtrain sweep status s\n")
    return SweepDirectory.open("s").launches[0]["jobs"]


def states():
    return [trial.state for trial in trials_of(SweepDirectory.open("s"))]


def test_a_trial_is_preempted_and_requeued_and_one_fails_and_is_retried(sweep, jobs):
    ids = begin(sweep, "name=slow,broken,a,b,c,d", "sweep.parallel=2")
    assert ids == [f"{ids[0].removesuffix('_0')}_{number}" for number in range(6)]
    told = jobs.run("scontrol", "show", "job", ids[0])
    for text in ("Partition=debug", "ArrayTaskThrottle=2", "TimeLimit=00:30:00", "Requeue=1", "Comment=ours",
                 "MinMemoryNode=512M", "gpu:1"):  # fmt: skip
        assert text in told
    metrics = Path("runs/sweeps/s/trials/0/metrics.jsonl")
    jobs.wait(lambda: metrics.exists() and len(metrics.read_text().splitlines()) == 5)
    jobs.run("scancel", "--signal=USR2", ids[0])
    assert Path("set_up").exists()
    # The others go on, and the first waits to be started again.
    ended = ["failed", *["finished"] * 4]
    jobs.wait(lambda: states() == ["waiting", *ended], about=lambda: str(states()))
    Path("go").touch()
    jobs.wait(lambda: states() == ["finished", *ended], about=lambda: str(states()))
    first = json.loads(Path("runs/sweeps/s/records/0.json").read_text())
    outcomes = [attempt["outcome"] for attempt in first["attempts"]]
    # Slurm may send a signal again whose receiver ended at once; so soon after, it meets the next life.
    assert (outcomes[0], outcomes[-1]) == ("stopped", "finished"), jobs.history(ids[0])
    assert len(metrics.read_text().splitlines()) == 11

    table = sweep("table", "s")
    assert all(f"  {name} " in table for name in ("slow", "a", "b", "c", "d")), table
    assert "trial 1 (name=broken) failed: the loss is not finite at step 7" in table
    plan = Path("runs/sweeps/s/sweep.json")
    plan.write_text(plan.read_text().replace("name=broken", "name=mended"))
    assert sweep("retry", "s").startswith("sweep s: trials 1 again\n")
    jobs.wait(lambda: states() == ["finished"] * 6, about=lambda: str(states()))


def test_a_sweep_is_cancelled_and_gone_on_with(sweep, jobs):
    begin(sweep, "name=slow", "seed=1,2,3", "sweep.parallel=1")
    metrics = Path("runs/sweeps/s/trials/0/metrics.jsonl")
    jobs.wait(lambda: metrics.exists() and len(metrics.read_text().splitlines()) == 5)
    assert states() == ["running", "waiting", "waiting"]
    assert sweep("cancel", "s", "trials=1") == "sweep s: trials 1 end\n"
    assert states() == ["running", "stopped", "waiting"]
    assert sweep("cancel", "s") == "sweep s: trials 0, 2 end\n"
    jobs.wait(lambda: states() == ["stopped"] * 3, about=lambda: str(states()))
    Path("go").touch()
    assert sweep("retry", "s").startswith("sweep s: trials 0, 1, 2 again\n")
    jobs.wait(lambda: states() == ["finished"] * 3, about=lambda: str(states()))
