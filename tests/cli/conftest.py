import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parent / "config" / "project"
collect_ignore = ["standin"]  # not tests: code that a test puts on the path of a process
FLAGS = ["--config-dir", str(PROJECT / "conf"), "--package", "fakes"]


@pytest.fixture(autouse=True)
def standin(tmp_path, monkeypatch):
    """An empty working directory, a user's project at hand, and a stand-in for training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.delenv("NNXTRAIN_CONFIG_PATH", raising=False)
    spec = importlib.util.spec_from_file_location("standin", HERE / "standin" / "standin.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "standin", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "nnxtrain.training.fit", module)
    monkeypatch.setitem(sys.modules, "nnxtrain.training.evaluate", module)
    return module


@pytest.fixture
def flags() -> list[str]:
    return FLAGS


@pytest.fixture
def environment() -> dict[str, str]:
    path = os.pathsep.join([str(HERE / "standin"), str(PROJECT), str(HERE.parent.parent)])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def nnxtrain(environment):
    """Run the real command in a process of its own."""

    def call(*argv: str, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nnxtrain", *argv]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, **options
        )

    return call
