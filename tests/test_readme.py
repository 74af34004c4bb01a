"""The README's Python, shell and configuration are run as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
QUICK = [
    "data.name=shapes5/tiny",
    "trainer.epochs=null",
    "trainer.steps=2",
    "trainer.batch_size=32",
]


def blocks(language):
    return [text for name, text in BLOCKS if name == language]


def python(code, cwd):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=cwd, capture_output=True, text=True
    )


def test_the_python_examples_run(tmp_path):
    model, commands, library = blocks("python")
    for code in (model, library):
        done = python(code, tmp_path)
        assert done.returncode == 0, done.stderr
    done = python(commands.replace('"trainer.epochs=1"', str([*QUICK])[1:-1]), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'split': 'validation'" in done.stdout


def test_the_own_model_trains(tmp_path):
    model, *_ = blocks("python")
    (config,) = blocks("yaml")
    (command,) = [line for text in blocks("") for line in text.splitlines() if "--package" in line]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(model)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "net.yaml").write_text(config)
    done = nnxtrain(*shlex.split(command)[1:-1], *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def nnxtrain(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "nnxtrain", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ,
    )


COMMANDS = [
    line.partition("#")[0].strip()
    for text in blocks("")
    for line in text.splitlines()
    if line.startswith("nnxtrain ") and not re.search("DIR|fashion|--package", line)
]


@pytest.mark.parametrize(
    "commands",
    [[c for c in COMMANDS if " sweep" not in c], [c for c in COMMANDS if " sweep" in c]],
)
def test_the_commands_run(tmp_path, commands):
    assert commands
    assert nnxtrain("fit", *QUICK, cwd=tmp_path).returncode == 0
    for command in commands:
        _, verb, *rest = shlex.split(command)
        trains = verb == "fit" or (verb == "sweep" and rest[0] != "table")
        if trains and "--help" not in rest:  # the same command on fewer steps
            rest = [x for x in rest if not x.startswith("trainer.epochs")] + QUICK
        done = nnxtrain(verb, *rest, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)


def test_the_commands_on_a_run(tmp_path):
    assert nnxtrain("fit", *QUICK, cwd=tmp_path).returncode == 0
    (run,) = (tmp_path / "runs").iterdir()
    for line in [
        line for text in blocks("") for line in text.splitlines() if "run=runs/DIR" in line
    ]:
        command = (
            line.partition("#")[0]
            .replace("runs/DIR", str(run))
            .replace("trainer.epochs=20", "trainer.steps=4")
        )
        done = nnxtrain(*shlex.split(command)[1:], cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
