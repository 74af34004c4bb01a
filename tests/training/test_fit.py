"""fit and evaluate, with real data, models, optimizers and checkpoints, from Python and from the command line."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

import nnxtrain
from nnxtrain.config.saved import load
from nnxtrain.errors import InputError, RunError
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.session import Session
from nnxtrain.training.state import abstract, arrays_of, put_arrays

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.steps=12",
    "trainer.batch_size=64", "trainer.log_every=5", "trainer.eval_every=6",
]  # fmt: skip


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    return nnxtrain.fit(TINY)


def test_a_run_leaves_everything_it_is_made_of(run):
    names = {path.name for path in run.directory.iterdir()}
    assert {"config.yaml", "run.json", "metrics.jsonl", "checkpoints", "status.json"} <= names
    assert RunDirectory.open(run.directory).status.state == "finished"
    lines = read_metrics(run.directory / "metrics.jsonl")
    assert [(line["step"], line["split"]) for line in lines] == [
        (5, "train"), (6, "val"), (10, "train"), (12, "train"), (12, "val"), (run.results["step"], "test"),
    ]  # fmt: skip
    train = lines[0]
    assert set(train) == {
        "step",
        "epoch",
        "split",
        "time",
        "loss",
        "accuracy",
        "grad_norm",
        "learning_rate",
        "examples_per_second",
        "data_wait",
    }
    assert 0 <= train["data_wait"] <= 1
    assert train["learning_rate"] == 0.001
    assert train["epoch"] == 1.0
    assert math.isfinite(train["loss"])


@pytest.mark.parametrize("checkpoint", ["best", "last", 6])
def test_eval_gives_the_number_of_the_run(run, checkpoint):
    lines = read_metrics(run.directory / "metrics.jsonl")
    metrics = nnxtrain.evaluate(run.directory, split="validation", checkpoint=checkpoint)
    step = {"best": run.results["step"], "last": 12, 6: 6}[checkpoint]
    (expected,) = [line for line in lines if line["split"] == "val" and line["step"] == step]
    assert metrics == {
        "split": "validation",
        "step": step,
        "loss": expected["loss"],
        "accuracy": expected["accuracy"],
    }
    test = nnxtrain.evaluate(run.directory)
    assert test["accuracy"] == run.results["accuracy"]
    assert test["loss"] == run.results["loss"]


def test_the_best_checkpoint_is_the_best_on_validation(run):
    scores = {
        line["step"]: line["accuracy"]
        for line in read_metrics(run.directory / "metrics.jsonl")
        if line["split"] == "val"
    }
    assert run.results["step"] == max(sorted(scores), key=scores.get)
    assert run.results["val_accuracy"] == scores[run.results["step"]]


def test_eval_names_what_it_cannot_find(run):
    with pytest.raises(
        InputError, match="split=tets: choose train, validation, test; did you mean 'test'"
    ):
        nnxtrain.evaluate(run.directory, split="tets")
    with pytest.raises(
        InputError, match="checkpoint=bets: choose best, last or a step; did you mean 'best'"
    ):
        nnxtrain.evaluate(run.directory, checkpoint="bets")
    with pytest.raises(InputError, match=r"7 does not exist; complete checkpoints here: 6, 12"):
        nnxtrain.evaluate(run.directory, checkpoint=7)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(run):
    again, other = nnxtrain.fit(TINY), nnxtrain.fit([*TINY, "seed=1"])
    assert again.results == run.results
    assert other.results != run.results


def test_a_step_that_is_not_finite_stops_the_run_and_says_where():
    """The learning rate rises from 0, so that some steps are good; then the parameters grow beyond all bounds."""
    broken = ["optim=sgd", "optim.learning_rate=1e30", "trainer.log_every=12", "trainer.checkpoint_every=1",
              "optim.schedule={_target_: nnxtrain.optim.linear, warmup: 0.5}"]  # fmt: skip
    with pytest.raises(
        RunError, match=r"step 3 is not finite, first the output of model\.linears\.\d"
    ):
        nnxtrain.fit([*TINY, *broken])
    run = RunDirectory.newest("runs")
    assert run.status.state == "failed"
    noted = json.loads((run.path / "not_finite.json").read_text())
    assert noted["step"] == 3
    assert sorted(noted["examples"]) == sorted(set(noted["examples"]))
    steps = sorted(int(path.name) for path in run.checkpoints_path.glob("[0-9]*"))
    assert steps == [1, 2]


def test_the_best_score_so_far_is_noted_with_each_checkpoint(run):
    scores = [
        line["accuracy"]
        for line in read_metrics(run.directory / "metrics.jsonl")
        if line["split"] == "val"
    ]
    manifests = [
        json.loads((run.directory / f"checkpoints/{step}/manifest.json").read_text())
        for step in (6, 12)
    ]
    assert [manifest["info"]["best"] for manifest in manifests] == [scores[0], max(scores)]


def test_a_config_that_does_not_fit_the_data_leaves_no_run_behind(tmp_path):
    for overrides, message in {
        ("trainer.batch_size=4000",): "batch_size",
        ("trainer.monitor=f1",): "no metric 'f1'; it has loss, accuracy",
        ("model=lenet", "model.channels=[1,2,3,4,5,6]"): "need images of at least 64x64",
    }.items():
        with pytest.raises(InputError, match=message):
            nnxtrain.fit([*TINY[:1], *TINY[3:], *overrides])
    assert not (tmp_path / "runs").exists()


def test_a_run_in_use_cannot_be_resumed(run):
    with RunDirectory.open(run.directory).lock(), pytest.raises(InputError, match="in use by"):
        nnxtrain.fit([f"run={run.directory}"])


def test_a_run_is_never_made_shorter_than_it_is(run):
    config = (run.directory / "config.yaml").read_text()
    with pytest.raises(InputError, match="would end at step 6, but 12 steps are done; give"):
        nnxtrain.fit([f"run={run.directory}", "trainer.steps=6"])
    assert (run.directory / "config.yaml").read_text() == config


def test_a_finished_run_says_how_to_train_longer(run, capfd):
    nnxtrain.fit([f"run={run.directory}"])
    line = f"resuming {run.directory} at step 12, its last; to train longer add trainer.steps=N"
    assert line in capfd.readouterr().out


def test_a_damaged_checkpoint_is_told_before_it_is_removed(run, capfd):
    manifest = run.directory / "checkpoints" / "12" / "manifest.json"
    manifest.write_text("{")
    assert nnxtrain.fit([f"run={run.directory}"]).results == run.results
    shown = capfd.readouterr().out
    assert shown.count("checkpoints/12 is passed over") == 1
    assert f"resuming {run.directory} at step 6" in shown


def test_where_the_best_is_damaged_another_one_is_taken_and_that_is_told(run, caplog):
    (best,) = {run.results["step"]}
    other = {6: 12, 12: 6}[best]
    largest = max((run.directory / "checkpoints" / str(best)).rglob("*"), key=lambda p: p.stat().st_size)  # fmt: skip
    largest.write_bytes(largest.read_bytes()[:-1])
    assert nnxtrain.evaluate(run.directory)["step"] == other
    assert f"checkpoints/{best} is passed over" in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(run):
    for step in (6, 12):
        (run.directory / "checkpoints" / str(step) / "manifest.json").write_text("{")
    before = (run.directory / "metrics.jsonl").read_bytes()
    for use in (lambda: nnxtrain.fit([f"run={run.directory}"]), lambda: nnxtrain.evaluate(run.directory)):  # fmt: skip
        with pytest.raises(
            InputError,
            match=r"no checkpoint in .*/checkpoints is complete \(12: its manifest is damaged; 6: ",
        ):
            use()
    assert (run.directory / "metrics.jsonl").read_bytes() == before
    assert {path.name for path in (run.directory / "checkpoints").iterdir()} == {"6", "12"}


def test_eval_of_a_run_in_training_follows_to_the_newer_checkpoint(run, monkeypatch):
    opened = Session.open

    def meanwhile(*arguments, **options):
        shutil.rmtree(run.directory / "checkpoints" / "12")  # as retention does
        return opened(*arguments, **options)

    monkeypatch.setattr(Session, "open", meanwhile)
    assert nnxtrain.evaluate(run.directory, checkpoint="last")["step"] == 6


def test_multirun_makes_a_run_for_each_trial(tmp_path):
    command = [
        sys.executable,
        "-m",
        "nnxtrain",
        "fit",
        "-m",
        *TINY,
        "optim.learning_rate=1e-3,1e-2",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [path for path in (tmp_path / "runs").iterdir() if (path / "config.yaml").exists()]
    rates = {
        json.loads((path / "metrics.jsonl").read_text().splitlines()[0])["learning_rate"]
        for path in runs
    }
    assert rates == {0.001, 0.01}
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_lenet_trains_on_an_archive_in_cifar_10s_format(tmp_path, write_cifar10):
    write_cifar10(tmp_path / "archives")
    run = nnxtrain.fit(
        [
            "config=lenet_cifar5",
            f"data.local_dir={tmp_path}/archives",
            "data.verify_checksum=false",
            f"data.data_dir={tmp_path}/data",
            "trainer.batch_size=8",
            "trainer.epochs=1",
        ]
    )
    assert run.results["loss"] > 0


def test_the_seeds_shapes_are_those_of_lenet_cifar5_56(tmp_path, write_cifar10):
    write_cifar10(tmp_path / "archives")
    run = nnxtrain.fit(
        [
            "config=lenet_cifar5_56",
            f"data.local_dir={tmp_path}/archives",
            "data.verify_checksum=false",
            f"data.data_dir={tmp_path}/data",
            "trainer.batch_size=8",
            "trainer.epochs=null",
            "trainer.steps=1",
        ]
    )
    (manifest,) = (run.directory / "checkpoints").glob("1/manifest.json")
    assert "3136" in manifest.read_text()


def test_regression_finds_the_line():
    run = nnxtrain.fit(["config=linear_regression"])
    session = Session.open(load(run.directory / "config.yaml"))
    state = abstract(session.build)
    with Checkpoints(run.directory / "checkpoints", mode="min") as checkpoints:
        best = checkpoints.best()
        put_arrays(state, checkpoints.restore(best, arrays_of(state)))
    x, y = (session.splits.train.batch(slice(None))[name][:, 0] for name in ("input", "target"))
    slope, intercept = np.polyfit(x, y, 1)  # what there is to be found in these points
    assert state.model.linear.kernel.value.item() == pytest.approx(2, rel=0.02)
    assert state.model.linear.kernel.value.item() == pytest.approx(slope, rel=0.02)
    assert state.model.linear.bias.value.item() == pytest.approx(intercept, abs=0.02)
    assert run.results["r2"] > 0.98
    scores = [
        line["loss"]
        for line in read_metrics(run.directory / "metrics.jsonl")
        if line["split"] == "val"
    ]
    assert best.score == min(scores)  # of an error, the least is best


def test_classification_of_your_own_arrays(tmp_path):
    labels = np.arange(400) % 4
    inputs = np.random.default_rng(0).normal(size=(400, 6)) + 3 * np.eye(6)[labels] + 1000
    np.savez(tmp_path / "set.npz", input=inputs.astype(np.float32), label=labels)
    run = nnxtrain.fit(
        ["data=arrays", "data.train=set.npz", "model=mlp", "trainer.epochs=20", "trainer.batch_size=32",
         "optim.learning_rate=0.01"]
    )  # fmt: skip
    assert run.results["accuracy"] > 0.8
    assert run.directory.name.split("_", 2)[2].startswith("mlp_arrays")


def test_training_stops_when_the_score_gets_no_better():
    """A learning rate that changes nothing: the second and the third evaluation are no better than the first."""
    still = ["optim=sgd", "optim.learning_rate=1e-12", "trainer.eval_every=2", "trainer.patience=2"]
    run = nnxtrain.fit([*TINY, *still])
    lines = read_metrics(run.directory / "metrics.jsonl")
    assert [line["step"] for line in lines if line["split"] == "val"] == [2, 4, 6]
    assert RunDirectory.open(run.directory).status.step == 6
    again = nnxtrain.fit([f"run={run.directory}"])  # it is still over
    assert again.results == run.results


def test_bfloat16_computes_and_float32_keeps():
    run = nnxtrain.fit([*TINY, "trainer.precision=bfloat16", "trainer.steps=2"])
    with Checkpoints(run.directory / "checkpoints") as checkpoints:
        arrays = checkpoints.latest().arrays
    kinds = {
        dtype for path, (dtype, _) in arrays.items() if path.startswith(("model", "optimizer"))
    }
    assert "bfloat16" not in kinds
    without = ["model=custom", "model._target_=nnxtrain.nnx.Sequential"]
    with pytest.raises(InputError, match=r"nnx\.Sequential has no argument 'dtype'"):
        nnxtrain.fit([*without, "trainer.precision=bfloat16"])


def test_a_profile_of_some_steps_is_left_in_the_run():
    run = nnxtrain.fit([*TINY, "trainer.steps=4", "trainer.profile=[2,3]"])
    assert list((run.directory / "profile").rglob("*.xplane.pb"))
