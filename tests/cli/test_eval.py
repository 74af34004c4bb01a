import json
from pathlib import Path

import pytest

import nnxtrain
from nnxtrain.cli.main import main


@pytest.fixture
def two_runs(flags) -> list[Path]:
    found = []
    for name in ("older", "newer"):
        main(["fit", f"name={name}", *flags])
        (run,) = Path("runs").glob(f"*_{name}*")
        found.append(run)
    return found


def test_the_newest_run_by_default(two_runs, capsys):
    capsys.readouterr()
    assert main(["eval", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {
        "run": str(two_runs[1]),
        "split": "test",
        "checkpoint": "best",
        "step": 500,
        "loss": 0.25,
        "accuracy": 0.9125,
    }
    assert out.count("\n") == 1


def test_table(two_runs, capsys):
    capsys.readouterr()
    assert main(["eval", f"run={two_runs[0]}", "split=validation", "checkpoint=last"]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in (str(two_runs[0]), "validation", "last", "0.91", "accuracy"))


def test_details(two_runs, capsys):
    capsys.readouterr()
    assert main(["eval", "--details"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith(("cat", "dog"))] == [
        ["cat", "1.000", "0.750", "0.857", "4"],
        ["dog", "0.000", "nan", "0.000", "0"],
        ["cat", "3", "1"],
        ["dog", "0", "0"],
    ]
    assert main(["eval", "--details", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["details"]
    assert found["confusion_matrix"] == [[3, 1], [0, 0]]
    assert found["classes"][1]["recall"] is None


def test_a_step(two_runs, capsys):
    capsys.readouterr()
    assert main(["eval", "checkpoint=500", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"] == "500"


def test_a_misspelt_run(two_runs, capsys):
    assert main(["eval", f"run={two_runs[0]}x"]) == 2
    assert f"did you mean '{two_runs[0]}'?" in capsys.readouterr().err


def test_from_python(two_runs):
    assert nnxtrain.evaluate(two_runs[0])["accuracy"] == 0.9125
    assert nnxtrain.evaluate(runs_dir="runs", checkpoint=500)["checkpoint"] == 500
