"""In place of training: leaves a run directory at once. What it does hangs on the run's name."""

import os
import uuid
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
    from nnxtrain.config import save

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
    directory = Path(config.runs_dir) / f"{config.name}-{uuid.uuid4().hex[:8]}"
    directory.mkdir(parents=True)
    save(config, directory / "config.yaml")
    return Run(directory, {"accuracy": 0.5 + config.seed / 100, "steps": 10})


def resume(run_dir, *, overrides, packages):
    if overrides != [o for o in overrides if o.startswith("trainer.")]:
        raise InputError(f"{overrides[0]!r} cannot change when a run is resumed")
    calls.append({"resumed": run_dir, "overrides": overrides, "packages": packages})
    return Run(run_dir, {})


def evaluate(run_dir, *, split, checkpoint, packages):
    return {"checkpoint": checkpoint, "step": 500, "loss": 0.25, "accuracy": 0.9125}
