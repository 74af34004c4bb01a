"""Sweeps on this machine, by the real command: what fails, what is killed, cancelled, gone on with."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nnxtrain.cli.main import main
from nnxtrain.errors import InputError, Interrupted, RunError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.local import LocalLauncher
from nnxtrain.sweep.launchers.shares import shares
from nnxtrain.sweep.spec import LocalConfig, SweepConfig
from nnxtrain.sweep.start import start
from nnxtrain.sweep.states import trials_of
from nnxtrain.sweep.trial import run_trial

from .made import Made, sweep_of

PROJECT = Path(__file__).parent.parent / "config" / "project"
FLAGS = ["--config-dir", str(PROJECT / "conf"), "--package", "fakes"]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_trial_that_fails_is_named_and_retried(nnxtrain, states):
    done = nnxtrain("sweep", "name=a,broken,lost", "sweep.name=s", "sweep.parallel=3", *FLAGS)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[:2] == ["checking 3 configurations", "sweep s: 3 trials"]
    assert "trial 1 (name=broken) failed: the loss is not finite at step 7" in done.stdout
    assert "error: trial 1 (name=broken) failed: the loss is not finite at step 7" in done.stderr
    assert "error: trial 2 (name=lost) died: its process ended without a word" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("2 of 3 trials have not ended well (logs: ")
    assert done.stderr.endswith("to go on with them: nnxtrain sweep retry s\n")
    assert states("s") == ["finished", "failed", "died"]
    sweep = Path("runs/sweeps/s")
    assert sorted(path.name for path in (sweep / "trials").iterdir()) == ["0"]
    assert (sweep / "trials/0/config.yaml").exists()
    assert "error: the loss is not finite at step 7" in (sweep / "logs/1.log").read_text()

    # What was wrong is mended; what is finished is left alone.
    before = (sweep / "records/0.json").read_text()
    for number, name in ((1, "broken"), (2, "lost")):
        plan = sweep / "sweep.json"
        plan.write_text(plan.read_text().replace(f"name={name}", f"name=mended{number}"))
    again = nnxtrain("sweep", "retry", "s", "trials=1-2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("sweep s: trials 1, 2 again\n")
    assert states("s") == ["finished"] * 3
    assert (sweep / "records/0.json").read_text() == before
    assert nnxtrain("sweep", "retry", "s").stdout == "sweep s: no trial needs it\n"


def test_from_python(environment, monkeypatch):
    import nnxtrain

    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    flags = {"config_dirs": [PROJECT / "conf"], "packages": ["fakes"]}
    found = nnxtrain.run_sweep(["seed=1,2", "name=a,b", "sweep.parallel=4"], **flags)
    assert found["keys"] == ["name"]
    assert [group["score"]["mean"] for group in found["groups"]] == [0.515, 0.515]
    assert [trial["state"] for group in found["groups"] for trial in group["trials"]] == [
        "finished"
    ] * 4


def test_nothing_starts_before_every_trial_is_checked(nnxtrain):
    done = nnxtrain("sweep", "seed=1,2", "model.hidden=[3],abc", *FLAGS)
    assert done.returncode == 2
    assert "trial 1 (seed=1 model.hidden=abc): " in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["seed=1"], "nothing has several values: give some, as seed=1,2,3"),
        (["seed=1,2", "run=x"], "'run=x' cannot be combined with a sweep"),
        (["seed=1,2", "sweep.trails=1"], "did you mean 'trials'?"),
        (["seed=1,2", "trainer.monitor=loss,accuracy"], "ranked by loss (min), accuracy (max)"),
        (["seed=1,2", "sweep.sampler=tpe"], "sweep.sampler=tpe needs a number of trials"),
        (["seed=1,2", "sweep.local.cores=4096"], "sweep.local.cores=4096: this machine has"),
        (["seed=1,2", "sweep.name=a/b"], "sweep.name: use letters, digits"),
        (["status"], "no sweeps under 'runs/sweeps'; start one with"),
        (["table", "x"], "sweep 'x' does not exist"),
        (["statsu", "x"], "no command 'sweep statsu'; did you mean 'status'?"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words, line, capsys, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT)
    flags = [] if words[0] in ("status", "table") else FLAGS
    assert main(["sweep", *words, *flags]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not Path("runs/sweeps").exists() or not list(Path("runs/sweeps").iterdir())


def test_a_sweep_outlives_its_command_and_its_manager(nnxtrain, states):
    """The command returns; the manager is killed, then a trial; a second start finishes what they left."""
    done = nnxtrain(
        "sweep", "name=slow", "seed=1,2,3", "sweep.parallel=2", "sweep.name=s", "--detach", *FLAGS
    )
    assert done.returncode == 0, done.stderr
    sweep = Path("runs/sweeps/s")
    until(lambda: all((sweep / f"trials/{n}/metrics.jsonl").exists() for n in (0, 1)))
    assert states("s") == ["running", "running", "waiting"]
    os.kill(json.loads((sweep / "launches.json").read_text())[0]["pid"], signal.SIGKILL)
    record = json.loads((sweep / "records/0.json").read_text())
    os.kill(record["attempts"][0]["pid"], signal.SIGKILL)
    until(lambda: states("s") == ["died", "running", "not started"])
    half = (sweep / "trials/0/metrics.jsonl").read_text()
    refused = nnxtrain("sweep", "retry", "s", "trials=1")
    assert refused.returncode == 2
    assert refused.stderr == "error: trial 1 of s is running\n"

    Path("go").touch()
    again = nnxtrain("sweep", "retry", "s")
    assert again.returncode == 0, again.stderr
    assert states("s") == ["finished"] * 3
    assert (sweep / "trials/0/metrics.jsonl").read_text().startswith(half)  # it went on from there
    attempts = [
        len(json.loads((sweep / f"records/{n}.json").read_text())["attempts"]) for n in (0, 1, 2)
    ]
    assert attempts == [2, 1, 1]


def test_preempted_trials_go_on_and_cancelled_ones_do_not(nnxtrain, states):
    done = nnxtrain(
        "sweep", "name=slow", "seed=1,2,3", "sweep.parallel=2", "sweep.name=s", "--detach", *FLAGS
    )
    assert done.returncode == 0, done.stderr
    sweep = Path("runs/sweeps/s")
    until(lambda: all((sweep / f"trials/{n}/metrics.jsonl").exists() for n in (0, 1)))
    assert nnxtrain("sweep", "cancel", "s", "trials=1-2").stdout == "sweep s: trials 1, 2 end\n"
    until(lambda: states("s") == ["running", "stopped", "stopped"])
    # A scheduler's signal to one trial: its manager starts it again.
    (attempt,) = json.loads((sweep / "records/0.json").read_text())["attempts"]
    os.kill(attempt["pid"], signal.SIGTERM)
    until(lambda: len(json.loads((sweep / "records/0.json").read_text())["attempts"]) == 2)
    # What is retried meanwhile waits for its turn: the machine is shared out already.
    assert nnxtrain("sweep", "retry", "s", "trials=2", "--detach").returncode == 0
    assert states("s") == ["running", "stopped", "waiting"]
    Path("go").touch()
    until(lambda: states("s") == ["finished", "stopped", "finished"])
    assert nnxtrain("sweep", "retry", "s").returncode == 0
    assert states("s") == ["finished"] * 3
    assert nnxtrain("sweep", "cancel", "s").stdout == "sweep s: no trial runs or waits\n"


def test_a_sweep_keeps_the_configurations_it_was_checked_with(nnxtrain, tmp_path):
    """A recipe that is edited while trials wait does not change them."""
    folder = tmp_path / "mine" / "config"
    folder.mkdir(parents=True)
    recipe = (PROJECT / "conf/config/ours.yaml").read_text()
    (folder / "mine.yaml").write_text(recipe)
    done = nnxtrain(
        "sweep", "config=mine", "name=slow", "seed=1,2", "sweep.parallel=1", "sweep.name=s",
        "--detach", "--config-dir", str(tmp_path / "mine"), *FLAGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "mine.yaml").write_text("not: valid")
    Path("go").touch()
    assert nnxtrain("sweep", "status", "s", "--watch").returncode == 0


def test_shares_of_a_machine():
    cores = list(range(8))

    def given(**spec):
        return [
            (sorted(share.cores), share.environment)
            for share in shares(SweepConfig(**spec), cores=cores, gpus=gpus)
        ]

    gpus: list[str] = []
    assert given() == [(cores, {})]
    assert given(local=LocalConfig(cores=3)) == [([0, 1, 2], {}), ([3, 4, 5], {})]
    assert [c for c, _ in given(parallel=4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    gpus = ["0", "1", "2", "3"]
    visible = [e["CUDA_VISIBLE_DEVICES"] for _, e in given()]
    assert visible == ["0", "1", "2", "3"]
    two = given(local=LocalConfig(gpus=2))
    assert two == [
        ([0, 1, 2, 3], {"CUDA_VISIBLE_DEVICES": "0,1"}),
        ([4, 5, 6, 7], {"CUDA_VISIBLE_DEVICES": "2,3"}),
    ]
    eight = given(parallel=8)
    assert {e["XLA_PYTHON_CLIENT_MEM_FRACTION"] for _, e in eight} == {"0.45"}
    assert sorted(e["CUDA_VISIBLE_DEVICES"] for _, e in eight) == sorted(gpus * 2)
    assert len(shares(SweepConfig(parallel=8), 3, cores=cores, gpus=[])) == 3
    with pytest.raises(InputError, match=r"sweep\.local\.gpus=5: this machine has 4"):
        given(local=LocalConfig(gpus=5))


def test_what_cannot_be_launched_leaves_nothing(monkeypatch):
    def fail(self, sweep, numbers):
        raise RunError("no")

    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.setattr(LocalLauncher, "launch", fail)
    for _ in range(2):  # the name is free again
        with pytest.raises(RunError):
            start(["seed=1,2", "sweep.name=s"], config_dirs=[PROJECT / "conf"], packages=["fakes"])
    assert not list(Path("runs/sweeps").iterdir())


def test_what_waits_is_known_where_no_trial_could_be_started(make_sweep):
    """In a shell that sees fewer cores than the one which began it."""
    spec = SweepConfig(local=LocalConfig(cores=4096))
    sweep = make_sweep([Made(["seed=1"], state="waiting")], spec=spec)
    assert [trial.state for trial in trials_of(sweep)] == ["waiting"]
    with pytest.raises(InputError, match="this machine has"):
        LocalLauncher(spec).check()


def test_a_cancelled_trial_ends_as_it_starts(make_sweep):
    sweep = make_sweep([Made(["seed=1"], state="not started")])
    sweep.cancel(0)
    with pytest.raises(Interrupted, match="was cancelled; to run it: nnxtrain sweep retry made"):
        run_trial(sweep, 0)
    assert [trial.state for trial in trials_of(sweep)] == ["stopped"]


def test_what_to_type_for_a_sweep(tmp_path):
    here = sweep_of(Path("runs"), [Made(["seed=1"])])
    assert here.called == "made"
    there = sweep_of(tmp_path / "my runs", [Made(["seed=1"])])
    assert there.called == f"'{tmp_path}/my runs/sweeps/made'"


def test_a_config_folder_in_which_the_sweep_lies(tmp_path):
    (tmp_path / "a.yaml").touch()
    (tmp_path / "runs/old").mkdir(parents=True)
    (tmp_path / "runs/old/config.yaml").touch()
    sweep = SweepDirectory.create(
        Path("runs/sweeps"), "x", spec=SweepConfig(), overrides=[], trials=[], num_trials=0,
        monitor=("loss", "min"), config_dirs=["."], command=[],
    )  # fmt: skip
    copied = sorted(
        str(path.relative_to(sweep.path)) for path in (sweep.path / "configs").rglob("*.yaml")
    )
    assert copied == ["configs/0/a.yaml", "configs/0/runs/old/config.yaml"]


@pytest.mark.parametrize("numbers", ["0-1", "1-0"])
def test_one_trial_at_a_time(make_sweep, capsys, numbers):
    make_sweep([Made(["seed=1"]), Made(["seed=2"])])
    assert main(["sweep", "trial", "made", numbers]) == 2
    assert capsys.readouterr().err.startswith(("error: sweep trial: one", "error: trial '1-0'"))
