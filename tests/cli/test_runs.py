"""runs list, show, compare, on run directories made by hand."""

import json
import os
import socket
import subprocess
import sys

import pytest

from nnxtrain.cli.main import main
from nnxtrain.config import compose, to_yaml
from nnxtrain.training.manifest import write_manifest
from nnxtrain.training.metrics_log import MetricsLog
from nnxtrain.training.run_directory import RunDirectory


@pytest.fixture
def make():
    def make(
        name, overrides=(), *, accuracies=(), test=None, state="finished", error=None, begun=True
    ):
        config = to_yaml(compose([*overrides, f"name={name}"]))
        run = RunDirectory.create(
            "runs", name, config=config, overrides=overrides, command=["nnxtrain", "fit"]
        )
        if begun:
            run.set_plan(total_steps=40, monitor="accuracy", mode="max")
        with MetricsLog(run.metrics_path) as log:
            for step, accuracy in enumerate(accuracies, start=1):
                log.write(step=10 * step, epoch=step, split="train", metrics={"loss": 1 / step})
                log.write(step=10 * step, epoch=step, split="val", metrics={"accuracy": accuracy})
            if test is not None:
                log.write(step=20, epoch=2.0, split="test", metrics={"accuracy": test})
        run.set_status(state, error=error)
        return run

    return make


def listed(capsys, *arguments):
    capsys.readouterr()
    assert main(["runs", "list", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_newest_first_with_best_and_test(make, capsys):
    older = make("older", accuracies=[0.5, 0.75, 0.625, float("nan")], test=0.7)
    newer = make("newer", accuracies=[0.25], state="failed", error="the loss is nan")
    first, second = listed(capsys)
    assert (first["run"], second["run"]) == (str(newer.path), str(older.path))
    assert (second["status"], second["step"], second["total_steps"]) == ("finished", 40, 40)
    assert (second["best"], second["best_step"], second["test"]) == (0.75, 20, {"accuracy": 0.7})
    assert (first["status"], first["error"]) == ("failed", "the loss is nan")
    assert 0 <= first["seconds"] < 60

    assert main(["runs", "list"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split("  ")[0] == "run"
    assert all(
        text in out[2]
        for text in (older.name, "finished", "40/40", "accuracy 0.75", "accuracy 0.7")
    )


def test_a_dead_process_is_told_from_a_living_one(make, capsys):
    dead, alive = make("dead", state="running"), make("alive", state="running")
    elsewhere = make("elsewhere", state="running")
    owner = {"pid": 2**22 + 1, "host": socket.gethostname(), "since": "", "born": "1"}
    dead.lock_path.write_text(json.dumps(owner))  # what a killed process leaves
    elsewhere.lock_path.write_text(json.dumps(owner | {"host": "another"}))
    with alive.lock():
        states = {os.path.basename(run["run"]): run["status"] for run in listed(capsys)}
        with pytest.raises(Exception, match="in use by process"), alive.lock():
            pass  # looking did not take the lock away
    assert states == {dead.name: "died", alive.name: "running", elsewhere.name: "running"}
    assert listed(capsys)[1]["status"] == "died"  # and so after it ended without a word


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(make, capsys):
    good, bad, worse = make("good"), make("bad"), make("worse")
    bad.metrics_path.write_text("no json\n")
    (worse.path / "run.json").write_text("{")
    os.mkdir("runs/sweeps")
    assert [run["run"] for run in listed(capsys)] == [str(good.path)]
    main(["runs", "list"])
    err = capsys.readouterr().err
    assert f"skipped {bad.metrics_path}, line 1: not a JSON object" in err
    assert f"skipped {worse.path}: config.yaml or run.json cannot be read" in err
    assert err.count("\n") == 2


def test_no_runs(capsys):
    assert main(["runs", "list"]) == 2
    assert (
        "no runs under 'runs', which does not exist; start one with: nnxtrain fit"
        in capsys.readouterr().err
    )
    assert listed(capsys) == []


def test_a_run_of_which_training_has_not_begun(make, capsys):
    make("new", state="running", begun=False)
    (run,) = listed(capsys)
    assert (run["status"], run["step"], run["total_steps"], run["best"]) == ("died", 0, None, None)
    assert main(["runs", "show"]) == 0


def test_show(make, capsys):
    overrides = ["model=mlp", "optim.learning_rate=0.01"]
    run = make(
        "mine",
        overrides,
        accuracies=[0.5, 0.75, 0.625],
        test=0.7,
        state="failed",
        error="disk full",
    )
    checkpoint = run.checkpoints_path / "20"
    (checkpoint / "state").mkdir(parents=True)
    (checkpoint / "state" / "data").write_bytes(b"x" * 3000)
    write_manifest(checkpoint, step=20, score=0.75, info={}, arrays={})
    (run.checkpoints_path / "30").mkdir()
    capsys.readouterr()
    assert main(["runs", "show", f"run={run.path}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changed"]["optim.learning_rate"] == 0.01
    assert shown["changed"]["model._target_"] == "nnxtrain.models.MLP"
    assert "seed" not in shown["changed"]
    assert shown["checkpoints"][0] == {"step": 20, "score": 0.75, "bytes": 3000}
    assert shown["checkpoints"][1]["score"].startswith("damaged: ")
    assert {(m["which"], m["split"], m["step"]) for m in shown["metrics"]} == {
        ("last", "train", 30), ("last", "val", 30), ("last", "test", 20), ("best", "val", 20),
    }  # fmt: skip
    assert shown["origin"]["overrides"] == overrides

    assert main(["runs", "show", f"run={run.path}"]) == 0
    out = capsys.readouterr().out
    for text in (
        "failed at step 30 of 40",
        "error: disk full",
        "optim.learning_rate  0.01",
        "2.9 KiB",
        "jax ",
    ):
        assert text in out


def test_compare_shows_only_what_differs(make, capsys):
    a = make("a", ["seed=1"], accuracies=[0.5], test=0.25)
    b = make("b", ["seed=1", "optim.learning_rate=0.5"], accuracies=[0.75], test=0.5)
    capsys.readouterr()
    assert main(["runs", "compare", str(a.path), f"run={b.path}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    order = [found["runs"].index(str(run.path)) for run in (a, b)]
    config = {key: [values[i] for i in order] for key, values in found["config"].items()}
    assert config["name"] == ["a", "b"]
    assert config["optim.learning_rate"] == [0.001, 0.5]
    assert not {"seed", "model._target_", "trainer.batch_size"} & set(config)
    assert [found["results"]["test accuracy"][i] for i in order] == [0.25, 0.5]
    assert [found["results"]["best validation accuracy"][i] for i in order] == [0.5, 0.75]

    assert main(["runs", "compare", str(a.path), str(b.path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("   run\nA  runs")
    (row,) = [line.split() for line in out.splitlines() if line.startswith("test accuracy")]
    assert row == ["test", "accuracy", "0.25", "0.5"]


def test_compare_wants_two(make, capsys):
    run = make("a")
    assert main(["runs", "compare", str(run.path), str(run.path)]) == 2
    assert "give two runs or more, got 1" in capsys.readouterr().err
    assert main(["runs", "compare", str(run.path), "runs/nothing"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_listing_needs_no_jax(make, environment):
    make("a", accuracies=[0.5])
    code = (
        "import sys; from nnxtrain.cli.main import main; main(['runs', 'list']); "
        "main(['runs', 'show']); sys.exit('jax' in sys.modules)"
    )
    environment = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
