"""One training step of three networks on the CPU, float32: nnxtrain's, beside Flax, plain JAX, Equinox and PyTorch.

resnet18: images of 32 x 32 x 3, batches of 64, SGD with momentum. transformer: a decoder of 6 layers, width 256, 8 heads,
16 sequences of 256 tokens, AdamW. lstm: 128 images of 28 x 28 read row by row, 128 hidden features, Adam. Forward,
backward, update.

"nnxtrain fit" is the step that ``nnxtrain fit`` runs: with the task's metrics, the gradient's norm, and the guard against
what is not finite, none of which the others have; in a process of its own it keeps freed memory, as the command does.
"plain JAX" has the same network by hand, on dicts of arrays. All begin
with the same weights and see the same batches: their first losses have to agree, and those after a few steps nearly.

All are in one process, or with --processes each in one of its own. They take turns either way, and wait for each
other: a ratio is of turns side by side.

    python scripts/bench/networks.py [--networks resnet18 transformer lstm] [--rounds 10] [--only NAME ...] [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from subprocess import PIPE
from typing import Any

import jax
import optax
from networks_ours import Network, networks
from turns import have, markdown, median, spread, take_turns

from nnxtrain import nnx
from nnxtrain.cli.freed_memory import keep_freed_memory
from nnxtrain.training.dispatch import dispatch_as_told
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_train_step

Run = Callable[[int], float]  # so many steps -> the loss of the last


@dataclass
class Contestant:
    """One side: ``train`` makes a step on a batch in its own form, ``read`` waits for it and gives its loss."""

    train: Callable[[Any], Any]
    batches: Sequence[Any]
    read: Callable[[Any], float] = float
    done: int = 0

    def run(self, steps: int) -> float:
        """Train; return the loss of the last step, which is waited for."""
        for _ in range(steps):
            result = self.train(self.batches[self.done % len(self.batches)])
            self.done += 1
        return self.read(result)


def of_fit(network: Network) -> Contestant:
    state = TrainState(network.fresh(), network.tx, network.task.metrics())

    def mean_loss(halted: jax.Array) -> float:
        if bool(halted):
            raise SystemExit("a step was not finite")
        loss = float(state.metrics.compute()["loss"])
        state.metrics.reset()
        return loss

    step = make_train_step(network.task)
    return Contestant(partial(step, state), jax.device_put(network.batches()), mean_loss)


def of_nnx(network: Network) -> Contestant:
    model = network.fresh()
    optimizer = nnx.Optimizer(model, network.tx, wrt=nnx.Param)

    @nnx.jit(donate=True)
    def step(model: nnx.Module, optimizer: nnx.Optimizer, batch: Any) -> jax.Array:
        def loss_fn(model: nnx.Module) -> jax.Array:
            logits = model(batch["input"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    return Contestant(partial(step, model, optimizer), jax.device_put(network.batches()))


def of_jax_peer(module: str, network: Network) -> Contestant:
    """A peer whose steps are in the file ``module``."""
    params, stats = network.weights()
    make = importlib.import_module(module).trainer
    train = make(network.name, network.tx, network.options, params, stats)
    return Contestant(train, jax.device_put(network.batches()))


def of_torch(network: Network, compiled: bool = False, channels_last: bool = False) -> Contestant:
    import networks_torch as in_torch

    params, _ = network.weights()
    train = in_torch.trainer(
        network.name,
        network.rate,
        network.options,
        params,
        compiled=compiled,
        channels_last=channels_last,
    )
    batches = [in_torch.tensors(network.name, b, channels_last) for b in network.batches()]
    return Contestant(train, batches)


def contestants(network: str) -> dict[str, tuple[str | None, Callable[[Network], Contestant]]]:
    """By name: the package that has to be installed, and what makes it."""
    made: dict[str, tuple[str | None, Callable[[Network], Contestant]]] = {
        "nnxtrain fit": (None, of_fit),
        "nnxtrain.nnx": (None, of_nnx),
        "plain JAX": (None, partial(of_jax_peer, "networks_jax")),
        "flax nnx": ("flax", partial(of_jax_peer, "networks_flax")),
        "torch eager": ("torch", of_torch),
        "torch compiled": ("torch", partial(of_torch, compiled=True)),
    }
    if network == "lstm":
        made["equinox"] = ("equinox", partial(of_jax_peer, "networks_equinox"))
    if network == "resnet18":
        made["torch eager, channels last"] = ("torch", partial(of_torch, channels_last=True))
        both = partial(of_torch, compiled=True, channels_last=True)
        made["torch compiled, channels last"] = ("torch", both)
    return made


def serve(network: Network, name: str) -> None:
    """Be a contestant: a number of steps on stdin, the loss of the last on stdout."""
    if name == "nnxtrain fit":
        keep_freed_memory(os.environ)  # as the command does
        dispatch_as_told(os.environ)
    contestant = contestants(network.name)[name][1](network)
    print("ready", flush=True)
    for line in sys.stdin:
        print(contestant.run(int(line)), flush=True)


def in_a_process(network: Network, name: str, smoke: bool, stack: ExitStack) -> Run:
    """The same contestant in a process of its own, which ends with ``stack``."""
    command = [sys.executable, __file__, "--serve", network.name, name]
    process = stack.enter_context(
        subprocess.Popen(
            command + ["--smoke"] * smoke, stdin=PIPE, stdout=PIPE, text=True, bufsize=1
        )
    )
    stack.callback(process.stdin.close)
    process.stdout.readline()

    def run(steps: int) -> float:
        process.stdin.write(f"{steps}\n")
        return float(process.stdout.readline())

    return run


def compare(network: Network, names: Sequence[str], args: argparse.Namespace) -> list[dict]:
    with ExitStack() as stack:
        runs: dict[str, Run] = {}
        for name in names:
            if args.processes:
                runs[name] = in_a_process(network, name, args.smoke, stack)
            else:
                runs[name] = contestants(network.name)[name][1](network).run
        losses = {}
        for name, run in runs.items():
            start = time.perf_counter()
            losses[name] = [run(1) for _ in range(3)]
            seconds = time.perf_counter() - start
            print(f"{name}: {seconds:.1f} s to compile and for 3 steps", file=sys.stderr)
        agree(losses)
        steps = 1 if args.smoke else network.steps
        turns = {name: partial(run, steps) for name, run in runs.items()}
        taken = take_turns(turns, args.rounds, steps)
    first = taken[names[0]]
    return [
        {
            "network": network.name,
            "contestant": name,
            "ms a step": f"{median(times) / 1e3:.4g}",
            f"{names[0]} is faster by": spread(a / b for a, b in zip(times, first)),
            "loss after 3 steps": f"{losses[name][-1]:.5f}",
        }
        for name, times in taken.items()
    ]


def agree(losses: dict[str, list[float]]) -> None:
    """The first loss is the same arithmetic for all; then updates differ a little, as PyTorch's LSTM has two biases."""
    for step, tolerance in ((0, 1e-4), (2, 2e-2)):
        values = [of_one[step] for of_one in losses.values()]
        if max(values) - min(values) > tolerance:
            raise SystemExit(f"the losses of step {step} differ by more than {tolerance}: {losses}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet18", "transformer", "lstm"])
    parser.add_argument("--only", nargs="+", help="these contestants; ratios are to the first")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--processes", action="store_true", help="a process for each contestant")
    parser.add_argument("--smoke", action="store_true", help="one round of small networks")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    parser.add_argument("--serve", nargs=2, metavar=("NETWORK", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(networks(args.smoke)[args.serve[0]], args.serve[1])
        return

    rows = []
    args.rounds = 1 if args.smoke else args.rounds
    for name in args.networks:
        installed = [n for n, (package, _) in contestants(name).items() if not package or have(package)]  # fmt: skip
        names = [n for n in args.only or installed if n in installed]
        rows += compare(networks(args.smoke)[name], names, args)
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
