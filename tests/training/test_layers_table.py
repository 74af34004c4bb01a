"""``nnxtrain summary``: shapes, sizes and FLOPs by hand; wide, narrow, of a run."""

import pytest

from nnxtrain import api
from nnxtrain.cli.main import main
from nnxtrain.config.saved import save
from nnxtrain.training.run_directory import RunDirectory

DATA = ["data=synthetic", "data.shape=[4,3,2]", "data.num_classes=3", "data.size=120"]
MODEL = [*DATA, "model=mlp", "model.hidden=[5]", "trainer.batch_size=8"]


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def summary(capsys, *argv):
    code = main(["summary", *argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def row(text, path):
    line = next(line for line in text.splitlines() if line.startswith(f"│ {path} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_table(capsys):
    text = summary(capsys, *MODEL, "--flops", "batch=2")
    flops = 2 * (
        2 * 24 * 5 + 5
    )  # two examples; a product and a sum for each weight, a sum for each bias
    expected = ["linears.0", "Linear", "float32[2,24]", "float32[2,5]", f"{flops:,}", "kernel: float32[24,5]"]  # fmt: skip
    assert row(text, "linears.0")[:6] == expected
    parameters = 24 * 5 + 5 + 5 * 3 + 3
    assert row(text, "")[5] == f"{parameters} ({4 * parameters} B)"
    assert max(map(len, text.splitlines())) <= 200


def test_the_batch_is_that_of_training_and_inputs_are_standardised(capsys):
    text = summary(capsys, *MODEL, "depth=0")
    assert row(text, "")[1:4] == ["MLP", "float32[8,4,3,2]", "float32[8,3]"]
    assert "linears.0" not in text


def test_a_narrow_terminal_gets_a_list(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = summary(capsys, *MODEL)
    assert "\nlinears.0 Linear\n  inputs    float32[8,24]\n" in text
    assert max(map(len, text.splitlines())) <= 30


def test_nothing_is_computed(capsys):
    text = summary(capsys, *MODEL, "model.hidden=[10000000000]")  # 960 GB
    assert "kernel: float32[24,10000000000]" in text


def test_a_run(capsys, tmp_path):
    config = api.checked(MODEL)
    run = RunDirectory.create(tmp_path / "runs", "mlp", config=lambda path: save(config, path))
    text = summary(capsys, f"run={run.path}", "batch=1")
    assert row(text, "linears.1")[:4] == ["linears.1", "Linear", "float32[1,5]", "float32[1,3]"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["depth=deep"], "depth=deep: expected a whole number, at least 0"),
        (["batch=0"], "batch=0: expected a whole number, at least 1"),
        (["run=nowhere"], "run 'nowhere' does not exist"),
        (["run=a", "model=mlp"], "summary: run=a has its own configuration; leave out model=mlp"),
        (["model=mlpp"], "no model 'mlpp'; did you mean 'mlp'?"),
        (["--flop"], "summary: no flag '--flop'; did you mean '--flops'?"),
    ],
)
def test_bad_input_is_one_line(argv, line, capsys):
    assert main(["summary", *argv]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
