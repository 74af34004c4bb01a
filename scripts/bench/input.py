"""The share of the time that training waits for data, for each kind of source: ``data_wait`` of real runs.

Sets are made in a temporary folder: 32 x 32 images in memory, the same in a folder of PNG files (decoded once before), in
.npy files that are mapped into memory, tokens in a file. LeNet (or a small transformer) trains on each, from the host;
the first record, with compilation in it, is left out. "fetch" is the time to fetch a batch in the loop's own thread,
"step" that of a training step.

    python scripts/bench/input.py [--steps 200] [--json] [--smoke]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from turns import markdown, median

import nnxtrain
from nnxtrain.cli.freed_memory import keep_freed_memory
from nnxtrain.config.composition import compose
from nnxtrain.data.loader import train_batches
from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.session import Session

COUNT, BATCH = 2000, 128


def sources(folder: Path) -> dict[str, list[str]]:
    """The overrides that choose each source."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    labels = random.integers(0, 5, COUNT).astype(np.int64)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    for number, (image, label) in enumerate(zip(images, labels)):
        path = folder / "folder" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    random.integers(0, 256, 400_000, np.uint16).tofile(folder / "tokens.bin")
    lenet, files = ["model=lenet"], "{input: images.npy, label: labels.npy}"
    return {
        "in memory": [*lenet, "data=synthetic", f"data.size={COUNT}"],
        "in memory, augmented": [*lenet, "data=synthetic", f"data.size={COUNT}", "augment=flip_crop"],
        "array files": [*lenet, "data=arrays", f"data.train={files}"],
        "image folder": [*lenet, "data=image_folder", "data.train=folder"],
        "tokens": ["model=transformer_tiny", "data=tokens", "data.train=tokens.bin", "data.length=64",
                   "task=language_model"],
    }  # fmt: skip


def measure(overrides: list[str], steps: int) -> dict[str, Any]:
    overrides = [
        *overrides, "trainer.placement=host", f"trainer.batch_size={BATCH}", "trainer.epochs=null",
        f"trainer.steps={steps}", f"trainer.log_every={max(1, steps // 4)}", f"trainer.eval_every={steps}",
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        run = nnxtrain.fit(overrides)
    lines = [
        line for line in read_metrics(run.directory / "metrics.jsonl") if line["split"] == "train"
    ]
    lines = lines[1:] or lines
    source = Session.open(compose(overrides)).placed.train
    times = []
    with train_batches(source, batch_size=BATCH, seed=0, prefetch=0) as batches:
        for _ in range(min(steps, 50)):
            began = time.perf_counter()
            next(batches)
            times.append(time.perf_counter() - began)
    rate = median(line["examples_per_second"] for line in lines)
    return {
        "data_wait": round(median(line["data_wait"] for line in lines), 4),
        "highest": max(line["data_wait"] for line in lines),
        "fetch, ms": round(median(times) * 1e3, 3),
        "step, ms": round(BATCH / rate * 1e3, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--smoke", action="store_true", help="a few steps of the first source")
    args = parser.parse_args()
    keep_freed_memory(os.environ)  # as the command does
    with tempfile.TemporaryDirectory() as name:
        os.environ["NNXTRAIN_DATA_DIR"] = f"{name}/decoded"
        os.chdir(name)
        chosen = sources(Path(name))
        if args.smoke:
            chosen, args.steps = {"in memory": chosen["in memory"]}, 4
        rows = [{"source": of, **measure(how, args.steps)} for of, how in chosen.items()]
        os.chdir("/")
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
