"""What the scripts of this folder share: their arguments, their data, a clock, a log, and the last line they print.

The job: train LeNet on images uint8[N, 32, 32, 3] in memory, in a new order each epoch, in whole batches; after each epoch
evaluate on the validation split and save a checkpoint; at the end test the best. Without ``--save`` nothing is saved, and
what is tested is the last. Pixels go to the model as ``(x / 255 - MEAN) / STD``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEAN, STD = 0.5, 0.25
CLASSES = 5
EVAL_BATCH = 512
LOG_EVERY = 100  # steps

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def arguments(docstring: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(docstring or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder that jobs.py made")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--save", type=Path, help="a new folder for checkpoints and metrics")
    parser.add_argument("--compile", action="store_true", help="torch.compile, where it is torch")
    parser.add_argument("--fastest", action="store_true", help="nnxtrain's forms, where it is JAX")
    args = parser.parse_args()
    args.save = args.save and args.save.absolute()
    return args


def read(folder: Path) -> Splits:
    """Images uint8[N, 32, 32, 3] and labels int32[N] of each split."""
    return {
        split: (np.load(folder / f"{split}_input.npy"), np.load(folder / f"{split}_label.npy"))
        for split in ("train", "validation", "test")
    }


class Job:
    """The clock and the log of a job.

    The first phase, "start", is from the start of the process, where ``JOB_STARTED`` says when that was, to here.
    """

    def __init__(self, save: Path | None = None):
        self.seconds: dict[str, float] = defaultdict(float)
        self.epochs: list[float] = []  # the seconds that each epoch trained
        self.seconds["start"] = time.time() - float(os.environ.get("JOB_STARTED", time.time()))
        if save:
            save.mkdir(parents=True)
        path = save / "metrics.jsonl" if save else Path(os.devnull)
        self._log = path.open("w", buffering=1)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is inside; it has to wait for what it has dispatched. "train" is one epoch."""
        start = time.perf_counter()
        yield
        self.spent(name, time.perf_counter() - start)

    def spent(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds
        if name == "train":
            self.epochs.append(seconds)

    def log(self, step: int, split: str = "train", **metrics: Any) -> None:
        """Append a line of metrics."""
        record = {"step": step, "split": split, "time": time.time()}
        self._log.write(json.dumps(record | {k: float(v) for k, v in metrics.items()}) + "\n")

    def finish(self, *, images: int, parameters: int, loss: Any, accuracy: Any) -> None:
        """Print the line that jobs.py reads.

        Args:
          images: that each epoch trains on. The first epoch, in which programs are compiled, does not count in the rate.
          loss, accuracy: on the test split.
        """
        warm = self.epochs[1:] or self.epochs
        result = {
            "images_per_second": round(images * len(warm) / sum(warm), 1),
            "parameters": parameters,
            "loss": round(float(loss), 4),
            "accuracy": round(float(accuracy), 4),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "epochs": [round(seconds, 3) for seconds in self.epochs],
            "ended": time.time(),
        }
        print(json.dumps(result), flush=True)
