"""Every shipped data config builds, and names every argument, so that each can be overridden."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from nnxtrain.config.target import locate
from nnxtrain.data import Table, TFDSImages

CONFIGS = sorted((Path(__file__).parents[2] / "configs/data").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    target = locate(config.pop("_target_"))
    fields = dataclasses.fields(target)
    assert set(config) == {field.name for field in fields}
    if target is Table:
        config["label"] = "kind"
    dataset = target(**config)
    if target is TFDSImages:
        dataset = dataclasses.replace(dataset, classes=None)
    required = {f.name: config[f.name] for f in fields if f.default is f.default_factory}
    required |= {"label": "kind"} if target is Table else {}
    assert dataset == target(**required)


def test_there_are_configs() -> None:
    assert {"shapes5", "cifar10", "cifar5", "fashion_mnist"} <= {path.stem for path in CONFIGS}
