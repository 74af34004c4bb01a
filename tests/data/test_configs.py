"""Every shipped data config builds, and names every argument, so that each can be overridden."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from nnxtrain.data import TFDSImages

CONFIGS = sorted((Path(__file__).parents[2] / "configs/data").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    if config.pop("_target_") != "nnxtrain.data.TFDSImages":
        pytest.skip("another kind of data set")
    assert set(config) == {field.name for field in dataclasses.fields(TFDSImages)}
    dataset = TFDSImages(**config)
    defaults = TFDSImages(name=dataset.name)
    assert dataclasses.replace(dataset, classes=None) == defaults


def test_there_are_configs() -> None:
    assert {"shapes5", "cifar10", "cifar5", "fashion_mnist"} <= {path.stem for path in CONFIGS}
