"""How long it takes to build a model, and to be through its first training step, beside Flax.

Every measurement is a process of its own without a compilation cache: what a user waits for after starting a script,
imports and the start of JAX's backend not counted (both sides share them). The two libraries take turns and build the
same source (``models.py``); the figures are medians.

    python scripts/bench/build.py [--models resnet18 transformer] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time

from turns import have, markdown, median, spread

LIBRARIES = {"nnxtrain": "nnxtrain.nnx", "flax": "flax.nnx"}


def measure(model_name: str, library: str) -> dict[str, float]:
    """Build the model and train it one step, in this process. Seconds from the start of building."""
    import jax
    import optax
    from models import MODELS

    nnx = importlib.import_module(LIBRARIES[library])
    jax.devices()
    compiled = 0

    def count(event: str, seconds: float, **kwargs: object) -> None:
        nonlocal compiled
        compiled += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(count)
    start = time.perf_counter()
    model, batch = MODELS[model_name](nnx)
    state = nnx.state(model)
    jax.block_until_ready(jax.tree.leaves(state))
    built, programs = time.perf_counter() - start, compiled

    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def train_step(model: object, optimizer: object, batch: dict[str, jax.Array]) -> jax.Array:
        def loss_fn(model: object) -> jax.Array:
            logits = model(batch["inputs"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"]).mean()

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    train_step(model, optimizer, batch).block_until_ready()
    size = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    return {
        "build": built,
        "first_step": time.perf_counter() - start,
        "programs": programs,
        "parameters": size,
    }


def in_new_process(model_name: str, library: str) -> dict[str, float]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    command = [sys.executable, __file__, "--measure", model_name, library]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "transformer"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "LIBRARY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure)))
        return

    libraries = [name for name in LIBRARIES if have(name)]
    rows = []
    for model_name in args.models:
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in libraries}
        for turn in range(args.rounds):
            for library in libraries if turn % 2 else libraries[::-1]:
                taken[library].append(in_new_process(model_name, library))
        for library in libraries:
            row = {
                "model": model_name,
                "library": library,
                "parameters": taken[library][0]["parameters"],
                "programs": taken[library][0]["programs"],
            }
            for what in ("build", "first_step"):
                row[f"{what} (s)"] = round(median(t[what] for t in taken[library]), 3)
                ratios = [t[what] / f[what] for t, f in zip(taken[library], taken[libraries[-1]])]
                if library != libraries[-1]:
                    row[f"{what} / {libraries[-1]}'s"] = spread(ratios)
            rows.append(row)
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
