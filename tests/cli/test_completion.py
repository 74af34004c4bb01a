"""Completion: the candidates, and the scripts in the shells that are installed."""

import os
import shutil
import subprocess
import sys

import pytest

from nnxtrain.cli.complete import candidates, words
from nnxtrain.cli.main import main
from nnxtrain.config import compose
from nnxtrain.config.compare import flattened
from nnxtrain.config.composition import to_container
from nnxtrain.config.tree import list_options, options, search_dirs


def found(line):
    return candidates(words(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nnxtrain f", ["fit"]),
        ("nnxtrain config ", ["list", "paths", "show"]),
        ("nnxtrain runs c", ["compare"]),
        ("nnxtrain eval sp", ["split="]),
        ("nnxtrain eval split=t", ["split=test", "split=train"]),
        ("nnxtrain eval checkpoint=", ["checkpoint=best", "checkpoint=last"]),
        ("nnxtrain eval --d", ["--debug", "--details"]),
        ("nnxtrain fit optim.lear", ["optim.learning_rate="]),
        (
            "nnxtrain fit trainer.mode=",
            ["trainer.mode=max", "trainer.mode=min", "trainer.mode=null"],
        ),
        ("nnxtrain fit model=len", ["model=lenet"]),
        ("nnxtrain fit model.ch", ["model.channels="]),
        ("nnxtrain fit model=mlp model.hid", ["model.hidden="]),
        ("nnxtrain fit logger=wandb logger.wandb.pro", ["logger.wandb.project="]),
        ("nnxtrain fit -m seed=1,2 config=lenet_shapes", ["config=lenet_shapes5"]),
        ("nnxtrain data prepare shap", ["shapes5"]),
        ("nnxtrain config list logg", ["logger"]),
        ("nnxtrain completion f", ["fish"]),
        ("nnxtrain sweep re", ["report", "retry"]),
        ("nnxtrain sweep ma", []),  # which is not for people
        ("nnxtrain sweep optim.lear", ["optim.learning_rate="]),
        ("nnxtrain sweep seed=1,2 sta", []),
        ("nnxtrain sweep swe", ["sweep."]),
        ("nnxtrain sweep sweep.la", ["sweep.launcher="]),
        (
            "nnxtrain sweep sweep.launcher=",
            ["sweep.launcher=local", "sweep.launcher=ray", "sweep.launcher=slurm"],
        ),
        ("nnxtrain sweep sweep.ray.ad", ["sweep.ray.address="]),
        ("nnxtrain fit sweep.la", []),
        ("nnxtrain nosuch ", []),
    ],
)
def test_candidates(line, expected):
    assert found(line) == expected


def test_sweeps(tmp_path):
    for name in ("runs/sweeps/b", "runs/sweeps/a", "runs/sweeps/old", "other/sweeps/c"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/sweeps/b", "runs/sweeps/a", "other/sweeps/c"):
        (tmp_path / name / "sweep.json").write_text("{}")
    for verb in ("status", "table", "report", "retry", "cancel", "trial"):
        assert [x for x in found(f"nnxtrain sweep {verb} ") if "=" not in x] == ["a", "b"]
    assert found("nnxtrain sweep table runs_dir=other c") == ["c"]


def test_runs_and_folders(tmp_path):
    for name in ("runs/2026_a", "runs/2026_b", "runs/.new-c", "runs/sweeps", "mine/model"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("2026_a", "2026_b", ".new-c"):
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    assert found("nnxtrain fit run=") == ["run=runs/2026_a", "run=runs/2026_b"]
    assert found("nnxtrain check from=runs/2026_b") == ["from=runs/2026_b"]
    assert found("nnxtrain fit fr") == ["from="]
    assert found("nnxtrain eval run=runs/2026_b") == ["run=runs/2026_b"]
    assert found("nnxtrain runs compare runs/2026_a ru") == ["run=", "runs/2026_a", "runs/2026_b"]
    assert found("nnxtrain fit --config-dir mi") == ["mine/"]
    (tmp_path / "mine/model/own.yaml").write_text("_target_: mine.Own\ndepth: 3\n")
    assert found("nnxtrain fit --config-dir mine model=ow") == ["model=own"]
    assert found("nnxtrain fit --config-dir mine model=own model.d") == ["model.depth="]


def test_every_key_and_option_is_offered():
    for group, names in options(search_dirs()).items():
        assert sorted(names) == list_options(group)
        assert found(f"nnxtrain fit {group}=") == [f"{group}={name}" for name in sorted(names)]
    keys = {key for key in flattened(to_container(compose())) if "." in key}
    offered = {
        key.rstrip("=")
        for group in ("model", "data", "optim", "task", "trainer", "init", "mesh")
        for key in found(f"nnxtrain fit {group}.")
    }
    assert {key for key in keys if not key.startswith(("augment.", "optim.optimizer."))} <= offered


def test_a_key_press_imports_little(environment):
    code = (
        "import sys; from nnxtrain.cli.main import main; main(['__complete', 'zsh', 'nnxtrain fit model.ch']); "
        "sys.exit(bool({'jax', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "model.channels=\n")


@pytest.fixture
def shell(tmp_path, environment):
    """Run a script in a shell that finds our command; skipped where there is no such shell."""
    command = tmp_path / "bin" / "nnxtrain"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnxtrain "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"

    def call(name, script):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} on this machine")
        flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
        done = subprocess.run(
            [name, *flags, "-c", script],
            env={**environment, "PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.split()

    return call


def test_bash(shell):
    def typed(line, *parts):
        script = (
            'source <(nnxtrain completion bash)\ncompopt() { echo "compopt $*"; }\n'
            f"COMP_WORDS=({' '.join(parts)}) COMP_CWORD={len(parts) - 1} COMP_LINE='{line}' COMP_POINT={len(line)}\n"
            '_nnxtrain; printf "%s\\n" "${COMPREPLY[@]}"; complete -p nnxtrain >/dev/null'
        )
        return shell("bash", script)

    assert typed("nnxtrain ev", "nnxtrain", "ev") == ["eval"]
    # Bash takes = for a word of its own, and what is offered replaces the word after it.
    assert typed("nnxtrain fit model=len", "nnxtrain", "fit", "model", "=", "len") == ["lenet"]
    assert typed("nnxtrain fit optim.lear", "nnxtrain", "fit", "optim.lear") == [
        "compopt", "-o", "nospace", "optim.learning_rate=",
    ]  # fmt: skip
    assert typed("nnxtrain fit zzz", "nnxtrain", "fit", "zzz") == []


def test_zsh(shell):
    def typed(line):
        script = (
            "source <(nnxtrain completion zsh)\ncompadd() { print -l -- $@ }\n"
            f"words=({line}) CURRENT=${{#words}} LBUFFER='{line}'; _nnxtrain"
        )
        return [word for word in shell("zsh", script) if not word.startswith("-")]

    assert typed("nnxtrain ev") == ["eval"]
    assert typed("nnxtrain fit model=len") == ["model=lenet"]
    assert typed("nnxtrain fit optim.lear") == ["optim.learning_rate="]


def test_fish(shell):
    def typed(line):
        return shell("fish", f"nnxtrain completion fish | source; complete -C '{line}'")

    assert typed("nnxtrain ev") == ["eval"]
    assert typed("nnxtrain fit model=len") == ["model=lenet"]
    assert typed("nnxtrain fit optim.lear") == ["optim.learning_rate="]


def test_another_shell_is_refused(capsys):
    assert main(["completion", "fsh"]) == 2
    assert (
        "name one shell (bash, zsh, fish), got fsh; did you mean 'fish'?" in capsys.readouterr().err
    )
    assert main(["completion"]) == 2


def test_config_paths(tmp_path, capsys, monkeypatch):
    (tmp_path / "configs/model").mkdir(parents=True)
    (tmp_path / "configs/model/lenet.yaml").write_text("_target_: mine.LeNet\n")
    (tmp_path / "more").mkdir()
    monkeypatch.setenv("NNXTRAIN_CONFIG_PATH", "more")
    assert main(["config", "paths"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["1", "configs", "./configs"]
    assert lines[2] == ["2", "more", "$NNXTRAIN_CONFIG_PATH"]
    assert lines[3][0] == "3"
    assert lines[3][2] == "shipped"
    (lenet,) = [line for line in lines if line and line[0] == "model=lenet"]
    assert lenet[1:] == [str(tmp_path / "configs/model/lenet.yaml"), "hides", "1", "more"]
    (mlp,) = [line for line in lines if line and line[0] == "model=mlp"]
    assert mlp[1] == str(search_dirs()[-1] / "model/mlp.yaml")


def test_config_paths_says_what_is_not_there(capsys):
    assert main(["config", "paths"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "1",
        "configs",
        "./configs",
        "not",
        "there",
    ]
