"""Sweeps of a stand-in for training, which takes a moment: what is tried is all around it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.states import trials_of

from .made import sweep_of

TESTS = Path(__file__).parent.parent
PROJECT = TESTS / "config" / "project"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNXTRAIN_CONFIG_PATH", raising=False)


@pytest.fixture
def environment() -> dict[str, str]:
    path = os.pathsep.join([str(TESTS / "cli" / "standin"), str(PROJECT), str(TESTS.parent)])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def nnxtrain(environment):
    """Run the real command, with the stand-in for training, in a process of its own."""

    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nnxtrain", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    return call


@pytest.fixture
def states():
    """The state of each trial of a sweep."""

    def ask(name: str) -> list[str]:
        return [trial.state for trial in trials_of(SweepDirectory.open(name))]

    return ask


@pytest.fixture
def make_sweep(tmp_path):
    """A function that makes ``runs/sweeps/made`` of files; see :func:`made.sweep_of`."""
    return lambda trials, **options: sweep_of(tmp_path / "runs", trials, **options)
