"""How long it takes from the command to the first training step, and to the end of a run of one step.

``nnxtrain fit`` beside scripts that reach their first step with the same model (``start_peers.py``): plain JAX, and for
LeNet Keras on JAX and Lightning. Every measurement is a process of its own, timed from before it is started: interpreter
and imports count. "cold" has an empty compilation cache, "warm" the one that the process before it left (nnxtrain's
settings for all of JAX). Contestants take turns; figures are medians of seconds, ratios of turns side by side.

nnxtrain's phases: composing and checking the configuration (with most imports), loading the data, looking over by
shapes, building the state, the first step (tracing; compiling, or reading from the cache; running). "run" is the whole
command for one step: an evaluation, a checkpoint, its restoration, the test and the process's end are in it.

    python scripts/bench/start.py [--models lenet resnet18 transformer] [--rounds 5] [--json] [--smoke]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import have, markdown, median, spread

HERE = Path(__file__).parent
TRAINER = ["trainer.epochs=null", "trainer.steps=1", "trainer.log_every=1"]
MODELS = {
    "lenet": ["config=lenet_shapes5", *TRAINER],
    "resnet18": ["model=resnet18", "data=synthetic", "data.size=100", "trainer.batch_size=8",
                 "trainer.eval_batch_size=8", *TRAINER],
    "transformer": ["config=transformer_char", "data=text", "data.train=text.txt", "data.length=64",
                    "optim=adam", "trainer.batch_size=8", "trainer.eval_batch_size=8",
                    "trainer.eval_every=null", *TRAINER],
}  # fmt: skip
PHASES = ("composed", "data", "looked over", "built", "first step")


def measure(overrides: list[str]) -> None:
    """Run ``nnxtrain fit`` in this process, which began at $BEGAN; print one JSON line with what came when."""
    began = float(os.environ["BEGAN"])
    seen: dict[str, float] = {}
    spent: dict[str, float] = {"tracing": 0.0, "compiling": 0.0, "programs": 0, "read": 0}
    durations = {
        "/jax/core/compile/jaxpr_trace_duration": "tracing",
        "/jax/core/compile/jaxpr_to_mlir_module_duration": "tracing",
        "/jax/core/compile/backend_compile_duration": "compiling",
    }

    def note(name: str) -> None:
        seen.setdefault(name, time.time() - began)

    def after(owner: Any, name: str, phase: str, value: Callable = lambda result: result) -> None:
        """Note the phase when the function returned."""
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            result = value(inner(*args, **kwargs))
            note(phase)
            return result

        setattr(owner, name, outer)

    def listen(event: str, seconds: float, **_: Any) -> None:
        if kind := durations.get(event):
            spent[kind] += seconds
            spent["programs"] += kind == "compiling"
            if "first step" not in seen:
                spent[f"{kind} before"] = spent[kind]

    def event(event: str, **_: Any) -> None:
        spent["read"] += event == "/jax/compilation_cache/cache_hits"

    from nnxtrain import api
    from nnxtrain.cli import main

    after(api, "checked", "composed")
    load = api._training

    def training() -> Any:
        module = load()
        monitoring = importlib.import_module("jax.monitoring")
        monitoring.register_event_duration_secs_listener(listen)
        monitoring.register_event_listener(event)
        session = importlib.import_module("nnxtrain.training.session")
        after(session.Session, "open", "data")
        after(session.Session, "look_over", "looked over")
        after(session.Session, "create", "built")
        make = session.make_train_step

        def made(*args: Any, **kwargs: Any) -> Any:
            step = make(*args, **kwargs)

            def waited(*args: Any) -> Any:
                halted = step(*args).block_until_ready()
                note("first step")
                return halted

            return waited

        session.make_train_step = made
        return module

    api._training = training
    leave = sys.exit

    def finish(code: int) -> None:
        print(json.dumps(seen | spent | {"ended": time.time() - began}), flush=True)
        leave(code)

    main.sys.exit = finish
    sys.argv = ["nnxtrain", "fit", *overrides]
    main.run()


def in_new_process(name: str, model: str, folder: Path, warm: bool) -> dict[str, float]:
    """Seconds until the first step was made, and until the process was gone."""
    cache = folder / "cache" / name / model
    if not warm:
        shutil.rmtree(cache, ignore_errors=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    environment = {"PYTHONPATH": str(HERE.parents[1])} | environment
    program = [str(HERE / "start_peers.py"), name, model]
    if name == "nnxtrain":
        program = [str(Path(__file__)), "--measure", *MODELS[model]]
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *program],
        env=environment | {"BEGAN": repr(began)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    answer, told = "", 0.0
    for line in process.stdout:
        if line.startswith("{"):
            answer, told = line, time.time() - began
    if process.wait() or not answer:
        raise SystemExit(f"{name} failed on {model}")
    found = {"first step": told, **json.loads(answer)}
    return found | {"gone": time.time() - began}


def compare(model: str, names: list[str], rounds: int, folder: Path) -> list[dict[str, Any]]:
    for name in names:
        in_new_process(name, model, folder, warm=False)  # bytecode, the file cache, prepared data
    rows = []
    for warm in (False, True):
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                taken[name].append(in_new_process(name, model, folder, warm))
        ours = [t["first step"] for t in taken["nnxtrain"]]
        for name, times in taken.items():
            firsts = [t["first step"] for t in times]
            row = {
                "model": model,
                "cache": "warm" if warm else "cold",
                "script": name,
                "first step, s": spread(firsts, 2),
                "of nnxtrain's": spread((a / b for a, b in zip(firsts, ours)), 2),
                "run, s": round(median(t["gone"] for t in times), 2),
            }
            if name == "nnxtrain":
                before = 0.0
                for phase in PHASES:
                    row[phase] = round(median(t[phase] for t in times) - before, 2)
                    before += row[phase]
                for kind in ("tracing", "compiling"):
                    row[kind] = round(median(t.get(f"{kind} before", 0) for t in times), 2)
                row["programs (read)"] = f"{times[0]['programs']} ({times[0]['read']})"
                row["exit"] = round(median(t["gone"] - t["ended"] for t in times), 2)
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--smoke", action="store_true", help="one round of LeNet; no claim")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return
    if args.smoke:
        args.models, args.rounds, args.no_peers = ["lenet"], 1, True

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        letters = [chr(97 + i % 26) for i in range(40_000)]
        (folder / "text.txt").write_text("".join(letters))
        for model in args.models:
            peers = ["jax"]
            if model == "lenet":
                peers += [peer for peer in ("keras", "lightning") if have(peer)]
            rows += compare(
                model, ["nnxtrain", *(() if args.no_peers else peers)], args.rounds, folder
            )
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
