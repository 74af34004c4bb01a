"""A job that is started again finds the run that it made; an earlier handler of a signal is called when all is saved."""

import os
import signal

import pytest

import nnxtrain
from nnxtrain.errors import Preempted
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.interruption import Interruption
from nnxtrain.training.provenance import slurm_job

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.steps=4",
    "trainer.batch_size=64",
]  # fmt: skip


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)


def interrupt_at(step, monkeypatch):
    asked = 0

    def stops(self, real=Interruption.stops):
        nonlocal asked
        asked += 1
        if asked == step:
            os.kill(os.getpid(), signal.SIGUSR2)
        return real(self)

    monkeypatch.setattr(Interruption, "stops", stops)


def test_a_requeued_job_goes_on_with_its_own_run_of_the_same_overrides(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    other = nnxtrain.fit(TINY)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with monkeypatch.context() as patch:
        interrupt_at(2, patch)
        with pytest.raises(Preempted):
            nnxtrain.fit(TINY)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    fresh = nnxtrain.fit([*TINY, "seed=1"])  # the second of the job's commands had not begun
    assert "requeued" not in capsys.readouterr().out
    run = nnxtrain.fit(TINY)
    assert len({run.directory, fresh.directory, other.directory}) == 3
    said = capsys.readouterr().out
    assert f"this job was requeued; its run goes on: {run.directory}\n" in said
    assert f"resuming {run.directory} at step 2" in said

    again = nnxtrain.fit(TINY)
    said = capsys.readouterr().out
    assert said == f"this job was requeued; its run has finished: {run.directory}\n"
    assert again.directory == run.directory
    assert again.results == pytest.approx(run.results)
    assert again.results.keys() == run.results.keys()


def test_tasks_of_an_array_have_runs_of_their_own():
    array = {"SLURM_CLUSTER_NAME": "lab", "SLURM_ARRAY_JOB_ID": "5"}
    jobs = [
        slurm_job(array | {"SLURM_JOB_ID": str(5 + task), "SLURM_ARRAY_TASK_ID": str(task)})
        for task in range(2)
    ]
    assert jobs[0] != jobs[1]
    assert slurm_job({}) is None


def test_an_earlier_handler_is_called_when_all_is_saved(monkeypatch):
    saved = []

    def handler(number, frame):
        (run,) = os.listdir("runs")
        with Checkpoints(f"runs/{run}/checkpoints") as found:
            saved.append((number, found.latest().step))

    earlier = signal.signal(signal.SIGUSR2, handler)
    try:
        interrupt_at(3, monkeypatch)
        with pytest.raises(Preempted):
            nnxtrain.fit(TINY)
        assert signal.getsignal(signal.SIGUSR2) is handler
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    assert saved == [(signal.SIGUSR2, 3)]
