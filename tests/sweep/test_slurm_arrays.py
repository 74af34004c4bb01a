"""What is more than a cluster takes in one array; a real Slurm is in tests/slurm."""

from types import SimpleNamespace

import pytest

from nnxtrain.sweep.launchers import slurm
from nnxtrain.sweep.launchers.slurm import SlurmLauncher
from nnxtrain.sweep.spec import LauncherName, SweepConfig

submitit = pytest.importorskip("submitit")


@pytest.mark.parametrize(
    ("parallel", "waits"), [(None, [None, None, None]), (1, [None, "afterany:1", "afterany:2"])]
)
def test_several_arrays_one_after_the_other(tmp_path, monkeypatch, parallel, waits):
    asked = []

    class Executor:
        def __init__(self, folder, max_num_timeout):
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
