"""Real images: Fashion-MNIST from Debian's package, prepared, trained on for a few steps, and evaluated by the commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_from_preparing_to_eval(tmp_path):
    def nnxtrain(*arguments):
        environment = {
            **os.environ,
            "NNXTRAIN_DATA_DIR": str(tmp_path / "data"),
            "NNXTRAIN_CHECK_STRUCTURE": "0",
        }
        command = [sys.executable, "-m", "nnxtrain", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    nnxtrain("data", "prepare", "fashion_mnist", f"data.local_dir={DEBIAN}")
    nnxtrain("fit", "config=lenet_fashion_mnist", "trainer.epochs=null", "trainer.steps=200")
    (run,) = (tmp_path / "runs").iterdir()
    *_, last = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert last["split"] == "test"
    assert last["accuracy"] > 0.75
    evaluated = json.loads(nnxtrain("eval", "--json"))
    assert evaluated["accuracy"] == last["accuracy"]
    assert evaluated["loss"] == last["loss"]
