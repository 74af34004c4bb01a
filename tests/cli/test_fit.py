import json
from pathlib import Path

import pytest

import nnxtrain
from nnxtrain.cli.main import main
from nnxtrain.errors import InputError, RunError


def runs() -> list[Path]:
    return sorted(run for run in Path("runs").iterdir() if run.name != "sweeps")


def records() -> list[dict]:
    (sweep,) = Path("runs/sweeps").iterdir()
    return [json.loads(path.read_text()) for path in sorted(sweep.glob("trial-*.json"))]


def test_a_run(flags, capsys, standin, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/nnxtrain", "fit", "seed=3", *flags])
    assert main(["fit", "seed=3", *flags]) == 0
    (run,) = runs()
    assert capsys.readouterr().out == f"run: {run}\n"
    (call,) = standin.calls
    assert call["overrides"] == ["seed=3"]
    assert call["packages"] == ("fakes",)
    assert call["command"] == ["nnxtrain", "fit", "seed=3", *flags]


def test_resume(flags, standin):
    main(["fit", *flags])
    (run,) = runs()
    assert main(["fit", f"run={run}", "trainer.epochs=9", "--package", "fakes"]) == 0
    assert standin.calls[-1] == {
        "resumed": run,
        "overrides": ["trainer.epochs=9"],
        "packages": ("fakes",),
    }


def test_resume_names_the_nearest_run(flags, capsys):
    main(["fit", *flags])
    (run,) = runs()
    assert main(["fit", f"run={str(run)[:-1]}"]) == 2
    assert f"did you mean '{run}'?" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["fit", "run=empty"]) == 2
    assert "not a run directory" in capsys.readouterr().err


def test_from_python(flags, standin):
    config_dirs, packages = [flags[1]], [flags[3]]
    run = nnxtrain.fit(["seed=3"], config_dirs=config_dirs, packages=packages)
    assert run.directory.is_dir()
    assert run.results["accuracy"] == 0.53
    assert standin.calls[-1]["command"] == ["nnxtrain.fit", "seed=3"]
    with pytest.raises(RunError):
        nnxtrain.fit(["name=broken"], config_dirs=config_dirs, packages=packages)
    with pytest.raises(InputError):
        nnxtrain.fit(["sede=3"], config_dirs=config_dirs, packages=packages)
    assert nnxtrain.compose(["seed=3"], config_dirs).seed == 3
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        nnxtrain.nowhere  # noqa: B018


def test_sweep(flags, capsys, tmp_path, standin):
    argv = ["fit", "-m", "optim.learning_rate=1e-3,1e-2", "model.hidden=[1],[2]", "name=x", *flags]
    assert main(argv) == 0
    assert len(runs()) == 4
    assert [call["overrides"] for call in standin.calls] == [
        ["optim.learning_rate=0.001", "model.hidden=[1]", "name=x"],
        ["optim.learning_rate=0.001", "model.hidden=[2]", "name=x"],
        ["optim.learning_rate=0.01", "model.hidden=[1]", "name=x"],
        ["optim.learning_rate=0.01", "model.hidden=[2]", "name=x"],
    ]
    out, err = capsys.readouterr()
    assert err == ""
    assert all(str(run) in out for run in runs())
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == [
        "optim.learning_rate=0.001 model.hidden=[1]",
        "optim.learning_rate=0.001 model.hidden=[2]",
        "optim.learning_rate=0.01 model.hidden=[1]",
        "optim.learning_rate=0.01 model.hidden=[2]",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "no litter"
    assert [record["overrides"] for record in records()] == [c["overrides"] for c in standin.calls]


def test_a_failing_trial_shows_and_the_others_complete(flags, capsys):
    assert main(["fit", "-m", "name=broken,good,crash", *flags]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "error: trial name=broken: the loss is not finite at step 7",
        "error: trial name=crash: internal: KeyError: 'a bug'",
    ]
    assert len(runs()) == 1
    assert out.count("failed") == 2


def test_ctrl_c_ends_the_sweep(flags, capsys, standin):
    assert main(["fit", "-m", "name=interrupted,good", *flags]) == 130
    assert capsys.readouterr().err == "stopped at step 7; resume with: nnxtrain fit run=DIR\n"
    assert len(standin.calls) == 1


def test_sweeps_of_one_second_do_not_collide(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from nnxtrain.cli.multirun import new_directory

    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(new_directory, [tmp_path / "sweeps"] * 20))
    assert len(set(made)) == 20


@pytest.mark.parametrize("runs_dir", ["runs", "it's = [odd], {dir}"])
def test_sweep_directory_names_are_quoted(flags, runs_dir):
    quoted = "'" + runs_dir.replace("'", "\\'") + "'"
    assert main(["fit", "-m", "seed=1,2", f"runs_dir={quoted}", *flags]) == 0
    assert len(list(Path(runs_dir).iterdir())) == 3


def test_submitit(nnxtrain, flags, tmp_path):
    done = nnxtrain("fit", "-m", "name=broken,good", "hydra/launcher=submitit_local", *flags)
    assert done.returncode == 1, done
    assert done.stderr == "error: trial name=broken: the loss is not finite at step 7\n"
    assert len(runs()) == 1
    assert str(runs()[0]) in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "no litter"


@pytest.mark.slow
def test_submitit_loses_a_process(nnxtrain, flags):
    done = nnxtrain("fit", "-m", "name=lost,good", "hydra/launcher=submitit_local", *flags)
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: trial name=lost: its process ended early")
    assert done.stderr.count("\n") <= 2
