import numpy as np
import yaml

from nnxtrain.cli.main import main
from nnxtrain.config import list_options


def test_show(flags, capsys):
    assert main(["config", "show", "config=ours", "model.dropout_rate=0.25", *flags]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["name"] == "ours"
    assert shown["model"] == {"_target_": "fakes.Model", "hidden": [8, 8], "dropout_rate": 0.25}


def test_list(flags, capsys):
    assert main(["config", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "augment",
        "config",
        "data",
        "logger",
        "mesh",
        "model",
        "optim",
        "optim/schedule",
        "task",
        "trainer",
    ]
    assert main(["config", "list", "model", *flags[:2]]) == 0
    assert "wide" in capsys.readouterr().out
    assert main(["config", "list", "optim"]) == 0
    assert "Adam (Kingma and Ba, 2015)." in capsys.readouterr().out


def test_data_list(flags, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NNXTRAIN_DATA_DIR", str(tmp_path))
    assert main(["data", "list", *flags[:2]]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in list_options("data", [flags[1]]))
    assert "shapes5        not prepared  A stand-in for shapes5." in out


def test_data_prepare(flags, capsys):
    assert main(["data", "prepare", "shapes5", "data.size=3", *flags]) == 0
    assert capsys.readouterr().out == "prepared: /prepared/shapes5/3\n"


def test_data_that_needs_no_preparing_is_read_and_checked(tmp_path, capsys):
    path = tmp_path / "set.npz"
    np.savez(path, input=np.zeros((20, 3), np.float32), label=np.arange(20) % 2)
    assert main(["data", "prepare", "arrays", f"data.train={path}"]) == 0
    assert "nothing to prepare" in capsys.readouterr().out
    np.savez(path, input=np.zeros((20, 3), np.float32), label=np.arange(20) - 1)
    assert main(["data", "prepare", "arrays", f"data.train={path}"]) == 2
    assert "has label -1" in capsys.readouterr().err
