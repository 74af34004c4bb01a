"""The same job with each library, whole: LeNet on 32 x 32 images in memory, beside the peers' scripts of ``peers/``.

``steady``: images a second of the training loop, in a process of its own for each turn. The first epoch, in which programs
are compiled, does not count, nor does evaluating.

``whole``: wall seconds from the start of the process to its end, of a job of two epochs: it reads the data, trains,
evaluates and saves a checkpoint after each epoch, and tests with the best. Programs that were compiled before are read from
a cache of the contestant's own ("cold": that cache is empty).

All train the same network (136 461 parameters, 32-bit) with adam 1e-3 on the same examples in batches of 128, in a new order
each epoch. nnxtrain is the command ``nnxtrain fit``; each peer is a script as its documentation would have it. They take
turns in an order that rotates, and compared are turns side by side.

    python scripts/bench/jobs.py [--tables steady whole] [--rounds 5] [--epochs 3] [--only NAME ...] [--json]
    python scripts/bench/jobs.py --work DIR [--turns 4]      # goes on with the turns that DIR has
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from turns import have, markdown, median, spread

PEERS = Path(__file__).parent / "peers"
BATCHES, BATCH_SIZE = 195, 128  # of an epoch: whole ones for all, and so is evaluating
EVALUATED = 10 * 512  # examples of the validation and of the test split
CLASSES = 5
LOG_EVERY = 100
BASE = {"steady": "PyTorch", "whole": "JAX by hand"}  # what the ratios are to


@dataclass(frozen=True)
class Contestant:
    """A peer's script in ``peers/`` with its options, or the command of nnxtrain; left out where ``package`` is missing."""

    package: str
    script: str = ""
    options: tuple[str, ...] = ()


CONTESTANTS = {
    "nnxtrain fit": Contestant("nnxtrain"),
    "Flax NNX": Contestant("flax", "flax_lenet.py"),
    "Keras on JAX": Contestant("keras", "keras_lenet.py"),
    "PyTorch": Contestant("torch", "torch_lenet.py"),
    "PyTorch, compiled": Contestant("torch", "torch_lenet.py", ("--compile",)),
    "Lightning": Contestant("lightning", "lightning_lenet.py"),
    "JAX by hand": Contestant("jax", "jax_lenet.py"),
    "JAX by hand, nnxtrain's forms": Contestant("jax", "jax_lenet.py", ("--fastest",)),
}
SMOKE = ("nnxtrain fit", "JAX by hand")


@dataclass(frozen=True)
class Bench:
    """Where all is: ``work`` holds the data and what a job saves, ``caches`` what each contestant compiled."""

    work: Path
    caches: Path
    sizes: dict[str, int]
    batch_size: int

    @property
    def data(self) -> Path:
        return self.work / "data"

    def make_data(self) -> None:
        """Draw the examples: gratings of random wavelength, phase, colours and noise; the class is the direction."""
        if self.data.exists():
            return
        self.data.mkdir(parents=True)
        random = np.random.default_rng(0)
        y, x = np.mgrid[:32, :32].astype(np.float32)
        for split, count in self.sizes.items():
            label = (np.arange(count) % CLASSES).astype(np.int32)
            random.shuffle(label)
            angle = (label + random.uniform(-0.4, 0.4, count)) * np.pi / CLASSES
            wave = 2 * np.pi / random.uniform(4, 12, count)
            phase = random.uniform(0, 2 * np.pi, count)
            across, along = ((wave * f(angle)).astype(np.float32) for f in (np.cos, np.sin))
            ripple = across[:, None, None] * x + along[:, None, None] * y + phase[:, None, None]
            colour = random.uniform(-40, 40, (count, 1, 1, 3)).astype(np.float32)
            image = 128 + np.sin(ripple)[..., None].astype(np.float32) * colour
            image += random.normal(0, 25, image.shape).astype(np.float32)
            np.save(self.data / f"{split}_input.npy", image.clip(0, 255).astype(np.uint8))
            np.save(self.data / f"{split}_label.npy", label)

    def turn(self, name: str, kind: str, epochs: int) -> dict[str, Any]:
        """Run a contestant in a process of its own; returns what it measured, with its wall and CPU seconds."""
        contestant, saved = CONTESTANTS[name], self.work / "saved"
        cache = self.caches / "".join(c if c.isalnum() else "_" for c in name)
        whole = kind != "steady"
        if kind == "cold":
            shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(saved, ignore_errors=True)
        if contestant.script:
            command = [sys.executable, str(PEERS / contestant.script), *contestant.options]
            command += ["--data", str(self.data), "--epochs", str(epochs)]
            command += ["--batch-size", str(self.batch_size)]
            command += ["--save", str(saved)] if whole else []
        else:
            command = self.nnxtrain(saved, whole=whole, epochs=epochs)
        start, used = time.time(), os.times()
        done = subprocess.run(
            command,
            env=environment(cache, start, own_cache=bool(contestant.script)),
            capture_output=True,
            text=True,
        )
        end, after = time.time(), os.times()
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        if contestant.script:
            result = json.loads(done.stdout.splitlines()[-1])
            result["seconds"]["exit"] = round(end - result.pop("ended"), 3)
        else:
            result = self.of_run(next(saved.iterdir()), done.stdout + done.stderr)
        cpu = sum(after[i] - used[i] for i in (2, 3))  # of children, user and system
        return result | {"wall": round(end - start, 3), "cpu": round(cpu, 2)}

    def nnxtrain(self, saved: Path, *, whole: bool, epochs: int) -> list[str]:
        steps = epochs * (self.sizes["train"] // self.batch_size)
        return [
            *(sys.executable, "-m", "nnxtrain", "fit", "model=lenet", "data=arrays", "optim=adam"),
            *(
                f"data.{split}={{input: {self.data}/{split}_input.npy, label: {self.data}/{split}_label.npy}}"
                for split in self.sizes
            ),
            *(f"trainer.epochs={epochs}", f"trainer.batch_size={self.batch_size}"),
            *(f"trainer.log_every={LOG_EVERY}", f"runs_dir={saved}", "name=lenet"),
            *([] if whole else [f"trainer.checkpoint_every={steps}"]),
        ]

    def of_run(self, run: Path, output: str) -> dict[str, Any]:
        """What the records of ``metrics.jsonl`` say; the rate of each counts the steps since the one before."""
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        test = next(record for record in records if record["split"] == "test")
        training = [record for record in records if record["split"] == "train"]
        steps_per_epoch = self.sizes["train"] // self.batch_size
        images, seconds = 0.0, 0.0
        for before, record in zip([{"step": 0}, *training], training):
            if before["step"] >= steps_per_epoch or record is training[-1]:
                count = (record["step"] - before["step"]) * self.batch_size
                images, seconds = images + count, seconds + count / record["examples_per_second"]
        parameters = next(line for line in output.splitlines() if " parameters;" in line)
        return {
            "images_per_second": round(images / seconds, 1),
            "parameters": int(parameters.split(" parameters;")[0].split()[-1].replace(",", "")),
            "loss": round(test["loss"], 4),
            "accuracy": round(test["accuracy"], 4),
        }


def environment(cache: Path, start: float, *, own_cache: bool) -> dict[str, str]:
    """Each contestant keeps what it compiles, in a folder of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMP", "JAX_PERS"))}
    kept |= {"JOB_STARTED": str(start), "KERAS_BACKEND": "jax"}
    if not own_cache:
        return kept | {"NNXTRAIN_COMPILE_CACHE": str(cache)}
    return kept | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
    }


class Turns:
    """The turns taken so far, kept in ``path`` so that a later call can add to them."""

    def __init__(self, bench: Bench):
        self.bench, self.path = bench, bench.work / "turns.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.taken: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [turn for turn in self.taken if turn["kind"] == kind]

    def to_come(self, kind: str, names: list[str], rounds: int) -> Iterator[tuple[int, str]]:
        """The rounds and names of the turns that are not taken yet; the order rotates from round to round."""
        done = {(turn["round"], turn["name"]) for turn in self.of(kind)}
        for number in range(rounds):
            shift = number % len(names)
            order = names[shift:] + names[:shift]
            turns = [(number, name) for name in (order if number % 2 else order[::-1])]
            yield from (turn for turn in turns if turn not in done)

    def take(self, kind: str, number: int, name: str, epochs: int) -> None:
        turn = {"kind": kind, "round": number, "name": name, **self.bench.turn(name, kind, epochs)}
        print(json.dumps(turn), file=sys.stderr)
        self.taken.append(turn)
        with self.path.open("a") as file:
            file.write(json.dumps(turn) + "\n")


def check(turns: list[dict[str, Any]]) -> None:
    """All have the same number of parameters, and learn: chance is 1 / CLASSES."""
    for turn in turns:
        if turn["parameters"] != turns[0]["parameters"]:
            raise SystemExit(f"the networks differ in size: {turn} {turns[0]}")
        if turn["accuracy"] < 2 / CLASSES:
            raise SystemExit(f"{turn['name']} does not learn: {turn}")


def table(turns: Turns, kind: str) -> list[dict[str, Any]]:
    """A row for each contestant: medians, and ratios with the base in the same round."""
    rounds: dict[str, dict[int, dict[str, Any]]] = {}
    for turn in turns.of(kind):
        rounds.setdefault(turn["name"], {})[turn["round"]] = turn
    cold = {turn["name"]: turn["wall"] for turn in turns.of("cold")}
    rows = []
    for name in (name for name in CONTESTANTS if name in rounds):
        mine, base = rounds[name], rounds.get(BASE[kind], {})
        key = "images_per_second" if kind == "steady" else "wall"
        ratios = [mine[n][key] / base[n][key] for n in mine.keys() & base.keys()]
        ratio = spread(ratios, 2) if ratios else ""
        middle = median(turn[key] for turn in mine.values())
        row: dict[str, Any] = {"job": name}
        if kind == "steady":
            row |= {"images a second": round(middle), f"/ {BASE[kind]}'s": ratio}
        else:
            row |= {"wall (s)": round(middle, 2), f"/ {BASE[kind]}'s": ratio}
            row["CPU (s)"] = round(median(turn["cpu"] for turn in mine.values()), 1)
            row["cold, wall (s)"] = round(cold[name], 1) if name in cold else ""
        row["test accuracy"] = round(median(turn["accuracy"] for turn in mine.values()), 3)
        rows.append(row | {"turns": len(mine)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(BASE), choices=tuple(BASE))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="of steady; whole has two")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of an epoch")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTESTANTS), metavar="NAME")
    parser.add_argument("--work", type=Path, help="a folder to keep data, caches and turns in")
    parser.add_argument("--caches", type=Path, help="another folder for the caches")
    parser.add_argument("--turns", type=int, help="take so many at most; a later call goes on")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--smoke", action="store_true", help="a round of a few steps, no claim")
    args = parser.parse_args()

    names = list(args.only or (SMOKE if args.smoke else CONTESTANTS))
    missing = {p for p in sorted({CONTESTANTS[name].package for name in names}) if not have(p)}
    names = [name for name in names if CONTESTANTS[name].package not in missing]
    if "PyTorch, compiled" in names and not shutil.which(os.environ.get("CXX", "g++")):
        print("there is no C++ compiler, so PyTorch, compiled is left out", file=sys.stderr)
        names.remove("PyTorch, compiled")
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        batches, batch_size, evaluated = args.batches, BATCH_SIZE, EVALUATED
        if args.smoke:
            batches, batch_size, evaluated = 4, 16, 32
        sizes = {"train": batches * batch_size, "validation": evaluated, "test": evaluated}
        caches = args.caches or work / "caches"
        turns = Turns(Bench(work.absolute(), caches.absolute(), sizes, batch_size))
        turns.bench.make_data()
        rounds = 1 if args.smoke else args.rounds
        cold = "whole" in args.tables and not args.smoke  # fills the caches, too
        plan = [("cold", 1)] if cold else []
        plan += [(kind, rounds) for kind in args.tables]
        to_come = (
            (kind, *turn) for kind, count in plan for turn in turns.to_come(kind, names, count)
        )
        for kind, number, name in itertools.islice(to_come, args.turns):
            short = kind != "steady" or args.smoke
            turns.take(kind, number, name, 2 if short else args.epochs)
        if not args.smoke:
            check(turns.taken)
        tables = [table(turns, kind) for kind in args.tables]
    for rows in tables:
        print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows) + "\n")


if __name__ == "__main__":
    main()
