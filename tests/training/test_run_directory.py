"""A run directory is whole or not there, its own, and found again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nnxtrain.errors import InputError, RunError
from nnxtrain.training import run_directory
from nnxtrain.training.run_directory import RunDirectory, Status, list_runs


def create(runs: Path, name: str = "lenet", **arguments: object) -> RunDirectory:
    return RunDirectory.create(runs, name, config="seed: 0\n", **arguments)


def test_what_a_new_run_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.create(
        "runs",
        "lenet_shapes5",
        config=lambda path: path.write_text("seed: 3\n") and None,
        command=["nnxtrain", "fit"],
        overrides=["seed=3"],
        devices=["TFRT_CPU_0"],
    )
    assert run.path.parent == Path("runs")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_lenet_shapes5_[a-z2-9]{4}", run.path.name)
    assert run.config_path.read_text() == "seed: 3\n"
    assert run.checkpoints_path.is_dir()
    assert sorted(os.listdir(run.path)) == ["checkpoints", "config.yaml", "run.json", "status.json"]
    assert run.origin["command"] == ["nnxtrain", "fit"]
    assert run.origin["overrides"] == ["seed=3"]
    assert run.origin["devices"] == ["TFRT_CPU_0"]
    assert run.origin["git"] is None
    assert run.origin["versions"]["python"].startswith("3.")
    assert run.origin["versions"]["jax"]
    assert run.status.state == "running"
    assert [path.name for path in Path("runs").iterdir()] == [run.name]


def test_the_code_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    work = tmp_path / "work" / "sub"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    git("init", "..")
    assert create(tmp_path / "runs").origin["git"]["commit"] is None
    (work / "model.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    clean = create(tmp_path / "runs")
    assert re.fullmatch("[0-9a-f]{40}", clean.origin["git"]["commit"])
    assert clean.origin["git"]["dirty"] is False
    assert not (clean.path / "git.diff").exists()
    (work / "model.py").write_text("a = 'é'\n")
    dirty = create(tmp_path / "runs")
    assert dirty.origin["git"]["dirty"] is True
    patch = dirty.path / "git.diff"
    git("checkout", "model.py")
    git("apply", "-p1", "--directory=", str(patch))
    assert (work / "model.py").read_text() == "a = 'é'\n"


def test_no_git_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert create(tmp_path / "runs").origin["git"] is None


CREATE = """
import sys
from nnxtrain.training.run_directory import RunDirectory
for _ in range(10):
    print(RunDirectory.create(sys.argv[1], "same", config=sys.argv[2]).path)
"""


def test_100_in_one_second_by_ten_processes_are_100(tmp_path: Path) -> None:
    def start(n: int) -> list[str]:
        command = [sys.executable, "-c", CREATE, str(tmp_path), str(n)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    with ThreadPoolExecutor(10) as pool:
        made = [(path, n) for n, paths in enumerate(pool.map(start, range(10))) for path in paths]
    assert len({path for path, _ in made}) == 100
    assert all(RunDirectory.open(path).config_path.read_text() == str(n) for path, n in made)
    assert len(os.listdir(tmp_path)) == 100


def test_a_name_that_is_taken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["aaaa", "aaaa", "bbbb", "cccc", "dddd"])
    monkeypatch.setattr(run_directory, "fresh_name", lambda label: f"time_{label}_{next(names)}")
    first, second = create(tmp_path), create(tmp_path)
    (tmp_path / "time_lenet_cccc").write_text("a file")
    third = create(tmp_path)
    assert [run.name[-4:] for run in (first, second, third)] == ["aaaa", "bbbb", "dddd"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a/../b c", "a-..-b-c"),
        ("../..", "run"),
        ("", "run"),
        ("é=1,2", "é=1-2"),
        ("x" * 300, "x" * 50),
    ],
)
def test_any_name_is_made_a_file_name(tmp_path: Path, name: str, label: str) -> None:
    run = create(tmp_path, name)
    assert run.path.parent == tmp_path
    assert run.name[20:-5] == label


def test_a_half_made_run_is_none(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        assert list_runs(tmp_path) == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunDirectory.create(tmp_path, "x", config=fail)
    assert list(tmp_path.iterdir()) == []
    code = CREATE.replace("config=sys.argv[2]", "config=lambda p: __import__('os').abort()")
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True)
    assert killed.returncode == -6
    assert len(os.listdir(tmp_path)) == 1
    assert list_runs(tmp_path) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(
        RunError, match=r"no run can be made under .*runs: File exists; .* runs_dir=DIR"
    ):
        create(tmp_path / "runs")


def test_open_says_what_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    run = create(Path("runs"))
    assert RunDirectory.open(run.path) == run
    assert RunDirectory.open(f"{run.path}/") == run
    wrong = str(run.path)[:-1] + "0"
    for path, message in [
        (wrong, f"run {wrong!r} does not exist; did you mean {str(run.path)!r}?"),
        (run.name, f"run {run.name!r} does not exist; did you mean {str(run.path)!r}?"),
        ("nowhere/x", f"run 'nowhere/x' does not exist; the newest run is {str(run.path)!r}"),
        ("runs", "run 'runs' is not a run directory (it lacks config.yaml and run.json); the newest "
                 f"run is {str(run.path)!r}"),
        ("empty", "run 'empty' is not a run directory (it lacks config.yaml and run.json)"),
        ("file", f"run 'file' is not a directory; the newest run is {str(run.path)!r}"),
    ]:  # fmt: skip
        with pytest.raises(InputError) as error:
            RunDirectory.open(path)
        assert str(error.value) == message
    (run.path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"its run\.json cannot be read"):
        RunDirectory.open(run.path)


def test_newest_is_the_one_that_started_last(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no runs under .*, which does not exist; start one with: nnxtrain fit"
    ):
        RunDirectory.newest(tmp_path / "none")
    runs = [create(tmp_path, name) for name in ("b", "c", "a")]
    (tmp_path / ".new-1").mkdir()
    (tmp_path / "zzz").mkdir()
    assert list_runs(tmp_path) == runs
    runs[2].path.rename(tmp_path / "0")
    assert RunDirectory.newest(tmp_path).name == "0"


def test_status_is_written_whole(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.set_status("failed", step=7, error="no space left")
    status = RunDirectory.open(run.path).status
    assert (status.state, status.step, status.error) == ("failed", 7, "no space left")
    assert status.time
    for broken in ("", "[]", '{"state": "finished", "mood": 1}'):
        (run.path / "status.json").write_text(broken)
        assert run.status == Status("running")
    assert json.loads((run.path / "run.json").read_text()) == run.origin


def test_the_newest_run_is_one_that_has_something_to_show(tmp_path):
    first, second = (RunDirectory.create(tmp_path, name, config="seed: 0") for name in "ab")
    assert RunDirectory.newest(tmp_path).path == second.path
    (first.checkpoints_path / "10").mkdir()
    assert RunDirectory.newest(tmp_path).path == first.path
