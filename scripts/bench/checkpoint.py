"""What a checkpoint costs training: an MLP of about 100 M parameters with adam (1.2 GB of state), on the CPU.

nnxtrain runs the pieces of its loop: ``train_steps``, ``parameters_finite``, ``Checkpoints.save``. Beside it JAX with
``orbax.checkpoint.AsyncCheckpointer`` as Orbax's documentation has it (standard handler, its defaults), and PyTorch with a
synchronous ``torch.save``. All train the same model, batch and optimizer from the same initial numbers; the losses of the
first steps are printed. A save comes every few steps; the first, in which libraries are imported, is left out.

"save" is the time until the call that starts a save returns (nnxtrain's with its check that parameters are finite), "step
after" the next step, "durable" the time from the call until the checkpoint could be restored; nnxtrain's is then hashed,
synced and has its manifest. Each contestant is a process of its own, in turn; memory is that of the process at its peak.

    python scripts/bench/checkpoint.py [--width 6400] [--steps 18] [--every 6] [--rounds 1] [--json] [--smoke]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from turns import have, markdown, median

HERE = Path(__file__).parent
BATCH, INPUTS, CLASSES, LAYERS, RATE = 128, 3072, 10, 3, 1e-4
CONTESTANTS = {"nnxtrain": None, "jax + orbax": "orbax", "torch.save": "torch"}


def weights(width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random, sizes = np.random.default_rng(0), [INPUTS, *[width] * LAYERS, CLASSES]
    return [
        ((random.standard_normal((i, o), np.float32) * (2 / i) ** 0.5), np.zeros(o, np.float32))
        for i, o in itertools.pairwise(sizes)
    ]


def batch() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.random((BATCH, INPUTS), np.float32), random.integers(0, CLASSES, BATCH, np.int32)


class Contestant:
    """``step`` trains and waits; ``save`` starts (or makes) a checkpoint, ``durable`` waits until it is whole."""

    step: Callable[[], float]
    save: Callable[[int], None]
    durable: Callable[[], None]


def of_nnxtrain(width: int, folder: Path) -> Contestant:
    from nnxtrain.cli.freed_memory import keep_freed_memory

    keep_freed_memory(os.environ)  # as the command does
    from nnxtrain.config.composition import compose
    from nnxtrain.training.checkpoint import Checkpoints
    from nnxtrain.training.finite import parameters_finite
    from nnxtrain.training.session import Session
    from nnxtrain.training.state import arrays_of

    session = Session.open(
        compose(
            ["data=synthetic", f"data.size={10 * BATCH}", "model=mlp", f"model.hidden={[width] * LAYERS}",
             f"trainer.batch_size={BATCH}", f"optim.learning_rate={RATE}"]
        )
    )  # fmt: skip
    state = session.create()
    layers = state.model.linears
    for layer, (kernel, bias) in zip(layers, weights(width)):
        layer.kernel.value, layer.bias.value = kernel, bias
    pixels, labels = batch()
    spec = (
        session.spec
    )  # the task subtracts mean and divides by deviation, which the peers' inputs have behind them
    pixels = pixels.reshape(BATCH, 32, 32, 3) * np.float32(spec.std) + np.float32(spec.mean)
    rows = {"input": pixels, "label": labels}
    train, checkpoints = session.train_steps[1], Checkpoints(folder / "nnxtrain", keep_last=1)

    def step() -> float:
        if bool(train(state, rows, {})):
            raise SystemExit("not finite")
        loss = float(np.asarray(state.metrics.compute()["loss"]))
        state.metrics.reset()
        return loss

    def save(number: int) -> None:
        if not parameters_finite(state.model):
            raise SystemExit("not finite")
        checkpoints.save(number, arrays_of(state), {})

    made = Contestant()
    made.step, made.save, made.durable = step, save, checkpoints.wait
    return made


def of_orbax(width: int, folder: Path) -> Contestant:
    import jax
    import jax.numpy as jnp
    import optax
    import orbax.checkpoint as ocp

    tx = optax.adam(RATE)
    params = [(jnp.array(w), jnp.array(b)) for w, b in weights(width)]
    state = {"params": params, "opt_state": tx.init(params)}
    x, y = map(jnp.array, batch())

    def loss_fn(params: list) -> jax.Array:
        z = x
        for i, (w, b) in enumerate(params):
            z = z @ w + b
            z = jax.nn.relu(z) if i < len(params) - 1 else z
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    @jax.jit
    def snapshot(state: dict) -> dict:
        return jax.tree.map(jnp.copy, state)

    def update(state: dict) -> tuple:
        loss, grads = jax.value_and_grad(loss_fn)(state["params"])
        updates, opt_state = tx.update(grads, state["opt_state"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "opt_state": opt_state}, loss

    train = jax.jit(update, donate_argnums=0)
    orbax = ocp.AsyncCheckpointer(ocp.StandardCheckpointHandler())

    def step() -> float:
        nonlocal state
        state, loss = train(state)
        return float(loss)

    def save(number: int) -> None:
        # The step donates the state, so Orbax is given a copy.
        orbax.save(folder / f"orbax-{number}", args=ocp.args.StandardSave(snapshot(state)))

    made = Contestant()
    made.step, made.save, made.durable = step, save, orbax.wait_until_finished
    return made


def of_torch(width: int, folder: Path) -> Contestant:
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for w, b in weights(width):
        layer = nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    pixels, labels = batch()
    x, y = torch.from_numpy(pixels), torch.from_numpy(labels).long()

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss)

    def save(number: int) -> None:
        path = folder / "torch.pt"
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    made = Contestant()
    made.step, made.save, made.durable = step, save, lambda: None
    return made


def measure(name: str, width: int, steps: int, every: int, saves: bool) -> dict[str, Any]:
    """Train, save; seconds, and GiB of memory."""
    with tempfile.TemporaryDirectory() as folder:
        made = {"nnxtrain": of_nnxtrain, "jax + orbax": of_orbax, "torch.save": of_torch}[name](
            width, Path(folder)
        )
        losses = [made.step(), made.step()]
        normal, after, call, durable = [], [], [], []
        for number in range(1, steps + 1):
            began = time.perf_counter()
            losses.append(made.step())
            (after if saves and number > 1 and (number - 1) % every == 0 else normal).append(
                time.perf_counter() - began
            )
            if saves and number % every == 0 and number < steps:
                began = time.perf_counter()
                made.save(number)
                call.append(time.perf_counter() - began)
        made.durable()
        if saves:  # one that nothing disturbs
            began = time.perf_counter()
            made.save(steps + 1)
            made.durable()
            durable.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "losses": losses[:3],
        "normal": normal,
        "after": after[1:] or after,
        "save": call[1:] or call,
        "durable": durable,
        "peak": peak,
    }


def in_new_process(name: str, args: argparse.Namespace, saves: bool) -> dict[str, Any]:
    shape = [str(n) for n in (args.width, args.steps, args.every, int(saves))]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--measure", name, *shape],
        env={"PYTHONPATH": str(HERE.parents[1])} | os.environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=6400)
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--smoke", action="store_true", help="a small model; no claim")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        name, *numbers = args.measure
        width, steps, every, saves = map(int, numbers)
        print(json.dumps(measure(name, width, steps, every, bool(saves))))
        return
    if args.smoke:
        args.width, args.steps, args.every = 32, 4, 2

    names = [n for n in args.only if CONTESTANTS[n] is None or have(CONTESTANTS[n])]
    taken: dict[str, list[tuple[dict, dict]]] = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            taken[name].append(
                (in_new_process(name, args, False), in_new_process(name, args, True))
            )
    rows = []
    for name, runs in taken.items():

        def of(key: str, saving: int = 1, runs: list = runs) -> float:
            return median(x for run in runs for x in run[saving][key])

        plain, step = max(run[0]["peak"] for run in runs), of("normal", 0)
        rows.append(
            {
                "": name,
                "first losses": " ".join(f"{x:.4f}" for x in runs[0][1]["losses"]),
                "step without saves, s": round(step, 3),
                "step after a save, s": round(of("after"), 3),
                "ratio": round(of("after") / step, 2),
                "save(), s": round(of("save"), 3),
                "durable, s": round(of("durable"), 2),
                "peak without saves, GiB": round(plain, 2),
                "peak with, GiB": round(max(run[1]["peak"] for run in runs), 2),
            }
        )
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
