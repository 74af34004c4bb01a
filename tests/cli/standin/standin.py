"""In place of training: leaves a run directory at once. What it does hangs on the run's name."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError, Interrupted, Preempted, Pruned, RunError

calls: list[dict[str, Any]] = []


@dataclass
class Run:
    directory: Path
    results: dict[str, Any]


def fit(config, *, command, overrides, packages, directory=None, is_poor=None):
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
        path=directory,
    )
    return train(run, config, is_poor)


def train(run, config, is_poor):
    """Ten steps with an evaluation at each; the score grows by the seed, and counts on from where it was."""
    stopped = []
    if config.name == "slow":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, lambda number, _: stopped.append(number))
    run.set_plan(total_steps=10, monitor="accuracy", mode="max")
    lines = run.metrics_path.read_text().splitlines() if run.metrics_path.exists() else []
    score = 0.5 + config.seed / 100
    for step in range(len(lines) + 1, 11):
        while config.name == "slow" and step == 6 and not stopped and not Path("go").exists():
            time.sleep(0.05)
        if stopped:
            run.set_status("interrupted")
            kind = Interrupted if stopped[0] == signal.SIGINT else Preempted
            raise kind(f"stopped at step {step}")
        with open(run.metrics_path, "a") as file:
            line = {
                "step": step,
                "split": "val",
                "time": time.time(),
                "accuracy": score * step / 10,
            }
            file.write(json.dumps(line) + "\n")
        if is_poor and is_poor(step, score * step / 10):
            run.set_status("pruned")
            raise Pruned(f"pruned at step {step}")
    (run.checkpoints_path / "10").mkdir(parents=True)
    with open(run.metrics_path, "a") as file:
        file.write(
            json.dumps({"step": 10, "split": "test", "time": time.time(), "accuracy": score}) + "\n"
        )
    run.set_status("finished", step=10)
    return Run(run.path, {"accuracy": score, "steps": 10})


def resume(run_dir, *, overrides, packages, is_poor=...):  # only a sweep says what is poor
    if overrides != [o for o in overrides if o.startswith("trainer.")]:
        raise InputError(f"{overrides[0]!r} cannot change when a run is resumed")
    calls.append({"resumed": run_dir, "overrides": overrides, "packages": packages})
    from nnxtrain.config.saved import load
    from nnxtrain.training.run_directory import RunDirectory

    run = RunDirectory(Path(run_dir))
    if is_poor is ...:
        return Run(run_dir, {})
    return train(run, load(run.config_path), is_poor)


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
