"""What is more than a cluster takes in one array; a real Slurm is in tests/slurm."""

from types import SimpleNamespace

import pytest

from nnxtrain.errors import InputError, RunError
from nnxtrain.sweep.launchers import slurm
from nnxtrain.sweep.launchers.slurm import SlurmLauncher
from nnxtrain.sweep.record import Record
from nnxtrain.sweep.spec import LauncherName, SlurmConfig, SweepConfig
from nnxtrain.sweep.states import trials_of

from .made import Made

submitit = pytest.importorskip("submitit")


@pytest.mark.parametrize(
    ("parallel", "waits"), [(None, [None, None, None]), (1, [None, "afterany:1", "afterany:2"])]
)
def test_several_arrays_one_after_the_other(tmp_path, monkeypatch, parallel, waits):
    asked = []

    class Executor:
        def __init__(self, folder, max_num_timeout, python):
            pass

        def update_parameters(self, **parameters):
            asked.append(parameters["additional_parameters"].get("dependency"))

        def map_array(self, run, paths, numbers):
            return [SimpleNamespace(job_id=f"{len(asked)}_{k}") for k in range(len(numbers))]

    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        slurm, "_ask", lambda *command: "MaxJobCount = 9\nMaxArraySize            = 2\n"
    )
    monkeypatch.setattr(submitit, "SlurmExecutor", Executor)
    launches = []
    sweep = SimpleNamespace(
        path=tmp_path, name="s", content={"working_directory": "."}, note_launch=launches.append
    )
    spec = SweepConfig(launcher=LauncherName.slurm, parallel=parallel)
    SlurmLauncher(spec).launch(sweep, [3, 4, 5, 6, 7])
    assert asked == waits
    assert [launch["trials"] for launch in launches] == [[3, 4], [5, 6], [7]]
    assert [launch["jobs"] for launch in launches] == [["1_0", "1_1"], ["2_0", "2_1"], ["3_0"]]


def test_a_grace_as_long_as_the_job(monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    spec = SweepConfig(launcher=LauncherName.slurm, slurm=SlurmConfig(minutes=1, grace=60))
    with pytest.raises(InputError, match="would end as it begins; give more minutes"):
        SlurmLauncher(spec).check()


def test_where_slurm_does_not_answer_what_has_not_ended_may_go_on(make_sweep, monkeypatch):
    def ask(*command):
        raise RunError("squeue failed: Socket timed out")

    monkeypatch.setattr(slurm, "_ask", ask)
    states = ["running", "waiting", "failed", "finished", "not started"]
    trials = [Made([f"seed={seed}"], state=state) for seed, state in enumerate(states)]
    sweep = make_sweep(trials, spec=SweepConfig(launcher=LauncherName.slurm))
    (sweep.path / "launches.json").unlink()
    for number in (0, 2):  # on another host
        record = Record.read(sweep.record_path(number))
        record.attempts[-1].host = "elsewhere"
        record.write(sweep.record_path(number))
    jobs = [f"7_{number}" for number in range(4)]
    sweep.note_launch({"time": 0.0, "trials": [0, 1, 2, 3], "jobs": jobs})
    assert [trial.state for trial in trials_of(sweep)] == states
