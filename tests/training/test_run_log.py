"""What real runs leave in their loggers."""

import json

import pytest

import nnxtrain
from nnxtrain.errors import InputError, RunError
from nnxtrain.loggers import Line
from nnxtrain.loggers.csv_file import rows
from nnxtrain.training.metrics_log import read_metrics

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[8]", "trainer.epochs=null", "trainer.steps=12",
    "trainer.batch_size=64", "trainer.log_every=5", "trainer.eval_every=6",
]  # fmt: skip

SOURCE = '''
import json

class Notes:
    """Writes what it gets to a file."""

    def __init__(self, fails_at: int = 0):
        self.fails_at = fails_at

    def open(self, directory, config, history):
        if self.fails_at < 0:
            raise OSError("no such server")
        self.path = directory / "notes.txt"
        self.note("open", config["seed"], len(history))

    def log(self, line):
        if line.step == self.fails_at:
            raise OSError("the server is away")
        self.note("log", line.step, line.split)

    def close(self, status):
        self.note("close", status)

    def note(self, *words):
        with open(self.path, "a") as file:
            print(*words, file=file)
'''


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)


def fit(*overrides):
    return nnxtrain.fit([*TINY, *overrides], packages=["mine"]).directory


def test_a_logger_of_your_own_and_the_csv_follow_the_log_over_a_resume():
    run = fit("logger.notes={_target_: mine.Notes}")
    assert (run / "notes.txt").read_text().splitlines() == [
        "open 0 0", "log 5 train", "log 6 val", "log 10 train", "log 12 train", "log 12 val",
        f"log {read_metrics(run / 'metrics.jsonl')[-1]['step']} test", "close finished",
    ]  # fmt: skip
    nnxtrain.fit([f"run={run}", "trainer.steps=15"], packages=["mine"])
    assert "open 0 5" in (run / "notes.txt").read_text()
    expected = rows(Line.of(record) for record in read_metrics(run / "metrics.jsonl"))
    lines = (run / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + len(expected)
    names = lines[0].split(",")
    found = [{k: float(v) for k, v in zip(names, line.split(",")) if v} for line in lines[1:]]
    assert found == expected


def test_a_logger_that_fails_is_left_out_and_the_run_goes_on(capfd):
    run = fit("logger.notes={_target_: mine.Notes, fails_at: 10}")
    out = capfd.readouterr().out
    assert out.count("the logger notes failed and is left out from now on") == 1
    assert "OSError: the server is away" in out
    assert "log 12" not in (run / "notes.txt").read_text()
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert "12," in (run / "metrics.csv").read_text()


def test_a_logger_that_does_not_open_stops_the_run():
    with pytest.raises(RunError, match="the logger notes does not open: OSError: no such server"):
        fit("logger.notes={_target_: mine.Notes, fails_at: -1}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("logger.wandb.project=x", r"logger\.wandb: expected a node with _target_.*; choose it with logger=wandb"),
        ("logger=tensorbord", "no logger 'tensorbord'; did you mean 'tensorboard'"),
        ("logger.notes={_target_: mine.Notes, fail_at: 1}", "mine.Notes has no argument 'fail_at'; did you mean 'fails_at'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_leaves_no_run_behind(override, message, tmp_path):
    with pytest.raises(InputError, match=message):
        fit(override)
    assert not (tmp_path / "runs").exists()


def test_several_loggers_compose():
    from nnxtrain.config import compose

    config = compose(["logger=[tensorboard,wandb]", "logger.wandb.mode=offline"])
    assert list(config.logger) == ["tensorboard", "wandb"]
    assert config.logger["wandb"]["mode"] == "offline"
    assert compose().logger == {}
