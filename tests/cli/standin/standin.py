"""In place of training: leaves a run directory at once. What it does hangs on the run's name."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError, Interrupted, RunError

calls: list[dict[str, Any]] = []


@dataclass
class Run:
    directory: Path
    results: dict[str, Any]


def fit(config, *, command, overrides, packages):
    from nnxtrain.config import to_yaml
    from nnxtrain.training.run_directory import RunDirectory

    calls.append({"command": command, "overrides": overrides, "packages": packages})
    match config.name:
        case "broken":
            raise RunError("the loss is not finite at step 7")
        case "crash":
            raise KeyError("a bug")
        case "lost":
            os._exit(3)
        case "interrupted":
            raise Interrupted("stopped at step 7; resume with: nnxtrain fit run=DIR")
        case "pipe":
            raise BrokenPipeError
    run = RunDirectory.create(
        config.runs_dir,
        config.name,
        config=to_yaml(config),
        command=command,
        overrides=overrides,
        devices=[],
    )
    return Run(run.path, {"accuracy": 0.5 + config.seed / 100, "steps": 10})


def resume(run_dir, *, overrides, packages):
    if overrides != [o for o in overrides if o.startswith("trainer.")]:
        raise InputError(f"{overrides[0]!r} cannot change when a run is resumed")
    calls.append({"resumed": run_dir, "overrides": overrides, "packages": packages})
    return Run(run_dir, {})


def evaluate(run_dir, *, split, checkpoint, packages, details):
    found = {
        "split": split,
        "checkpoint": checkpoint,
        "step": 500,
        "loss": 0.25,
        "accuracy": 0.9125,
    }
    return found | ({"details": DETAILS} if details else {})


DETAILS = {
    "class_names": ["cat", "dog"],
    "confusion_matrix": [[3, 1], [0, 0]],
    "classes": [
        {"class": "cat", "precision": 1.0, "recall": 0.75, "f1": 0.857, "support": 4},
        {"class": "dog", "precision": 0.0, "recall": float("nan"), "f1": 0.0, "support": 0},
    ],
}
