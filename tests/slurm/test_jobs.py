"""Training in Slurm's jobs: one run of two tasks, a job that is requeued, a task that is killed."""

import json
import os
import signal
from pathlib import Path

import pytest

import nnxtrain

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.batch_size=64",
    "trainer.log_every=1", "trainer.eval_every=30",
]  # fmt: skip
FIT = f"$PYTHON -m nnxtrain fit {' '.join(TINY)}"


def curve(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["split"], line["loss"]) for line in map(json.loads, lines)]


def run_that_trains(jobs):
    """The one run, when some steps of it are done."""
    runs = list((jobs.folder / "runs").glob("*_*"))
    assert len(runs) < 2
    return next((r for r in runs if (r / "metrics.jsonl").exists() and len(curve(r)) > 2), None)


def assert_same(one, other):
    for (*where, loss), (*other_where, other_loss) in zip(one, other, strict=True):
        assert where == other_where
        assert loss == pytest.approx(other_loss, rel=2e-3)


@pytest.mark.slow
def test_a_job_of_two_tasks_is_requeued_and_goes_on_along_the_curve_of_one_process(
    jobs, tmp_path, monkeypatch
):
    script = f"""#!/bin/bash
#SBATCH --ntasks=2 --signal=USR1@120 --requeue --open-mode=append
srun {FIT} trainer.steps=60 mesh.data=2 || {{ [ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID; }}
"""
    job = jobs.submit(script)
    run = jobs.wait(lambda: run_that_trains(jobs), about=lambda: jobs.output(job))
    jobs.run("scancel", "--signal=USR1", job)  # what --signal does before the time is over
    state, output = jobs.ended(job)
    assert state == "COMPLETED", output
    assert "stopped by SIGUSR1 at step" in output
    assert "2 x cpu (data 2) in 2 processes" in output
    path = f"runs/{run.name}"
    assert f"this job was requeued; its run goes on: {path}" in output
    assert f"resuming {path} at step" in output
    assert output.splitlines()[-1] == f"run: {path}"
    assert run_that_trains(jobs) == run
    assert json.loads((run / "run.json").read_text())["job"] == {"cluster": "one", "id": job}

    monkeypatch.chdir(tmp_path)
    whole = nnxtrain.fit([*TINY, "trainer.steps=60", "runs_dir=alone"]).directory
    assert_same(curve(run), curve(whole))


@pytest.mark.slow
def test_when_a_task_is_killed_the_other_names_it_and_ends_and_the_run_can_be_resumed(
    jobs, monkeypatch
):
    fit = FIT.replace("$PYTHON", jobs.environment["PYTHON"]).split()
    more = ["trainer.steps=100000", "trainer.eval_every=2", "mesh.data=2"]
    step = jobs.start("srun", "--ntasks=2", "--label", *fit, *more)
    said = (jobs.folder / "step.out").read_text

    def saved():
        assert step.poll() is None, said()
        return (run := run_that_trains(jobs)) and any((run / "checkpoints").glob("[0-9]*")) and run

    run = jobs.wait(saved, about=said)
    os.kill(task(1, jobs.folder), signal.SIGKILL)
    assert step.wait(timeout=20) != 0
    output = said()
    assert "0: error: process 1 on " in output, output
    assert "ended before the others" in output
    assert "Check failure stack trace" not in output

    done = max(int(path.name) for path in (run / "checkpoints").glob("[0-9]*"))
    monkeypatch.chdir(jobs.folder)
    nnxtrain.fit([f"run={run}", f"trainer.steps={done + 2}", "mesh.data=1"])
    assert curve(run)[-2][:2] == (done + 2, "val")
    assert curve(run)[-1][1] == "test"


def task(number, folder):
    """The process id of a task that works in a folder."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes().split(b"\0")
            words = (path / "cmdline").read_bytes().split(b"\0")
            if os.readlink(path / "cwd") != str(folder) or b"nnxtrain" not in words:
                continue
        except OSError:
            continue
        if f"SLURM_PROCID={number}".encode() in variables and b"srun" not in words[0]:
            return int(path.name)
    raise AssertionError(f"no task {number} in {folder}")
