"""Real runs, made once for all tests of a process."""

from pathlib import Path

import pytest

import nnxtrain

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[8]", "trainer.epochs=null", "trainer.steps=12",
    "trainer.batch_size=64", "trainer.log_every=3", "trainer.eval_every=6",
]  # fmt: skip


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> list[Path]:
    """Two runs of classification that differ in seed and learning rate."""
    folder = tmp_path_factory.mktemp("runs")
    others = ["name=slower", "seed=1", "optim.learning_rate=1e-4"]
    given = [*TINY, f"runs_dir={folder}"]
    return [nnxtrain.fit(given).directory, nnxtrain.fit([*given, *others]).directory]


@pytest.fixture(scope="session")
def regression(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    return nnxtrain.fit(
        ["config=linear_regression", "trainer.epochs=2", f"runs_dir={folder}"]
    ).directory
