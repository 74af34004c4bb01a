"""The talk's benchmark: 10 000 calls of W @ x + b, by jax.jit, nnx.jit, Flax and PyTorch.

The arithmetic is nothing, so this is what a call costs. All take turns; the figure is the median, over the turns, of
what a call takes longer than jax.jit's in the same turn, with quartiles. PyTorch has one thread.

    python scripts/bench/slide.py [--calls 10000] [--rounds 30] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from turns import have, markdown, median, spread, take_turns

from nnxtrain import nnx


def predict(w: Any, b: Any, x: Any) -> Any:
    return w @ x + b


class Affine(nnx.Module):
    """The same with W and b in a module, which is then looked into at each call."""

    def __init__(self) -> None:
        self.w, self.b = nnx.Param(jnp.ones((3, 4))), nnx.Param(jnp.ones(3))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.w @ x + self.b


def of_jax(jit: Callable, calls: int) -> Callable[[], None]:
    compiled = jit(predict)
    w, b, x = jnp.ones((3, 4)), jnp.ones(3), jnp.ones(4)

    def run() -> None:
        for _ in range(calls):
            result = compiled(w, b, x)
        result.block_until_ready()

    return run


def of_module(calls: int) -> Callable[[], None]:
    compiled = nnx.jit(Affine())
    x = jnp.ones(4)

    def run() -> None:
        for _ in range(calls):
            result = compiled(x)
        result.block_until_ready()

    return run


def of_torch(calls: int) -> Callable[[], None]:
    import torch

    torch.set_num_threads(1)
    w, b, x = torch.ones(3, 4), torch.ones(3), torch.ones(4)

    def run() -> None:
        with torch.no_grad():
            for _ in range(calls):
                predict(w, b, x)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    args = parser.parse_args()

    contestants = {
        "jax.jit": of_jax(jax.jit, args.calls),
        "nnxtrain nnx.jit": of_jax(nnx.jit, args.calls),
        "nnxtrain nnx.jit of a module": of_module(args.calls),
    }
    if have("flax"):
        from flax import nnx as flax

        contestants["flax nnx.jit"] = of_jax(flax.jit, args.calls)
    if have("torch"):
        contestants["torch, eager"] = of_torch(args.calls)
    for run in contestants.values():
        run()
    taken = take_turns(contestants, args.rounds, args.calls)
    limit = taken["jax.jit"]
    rows = [
        {
            "function": name,
            "µs a call": round(median(times), 2),
            "µs more than jax.jit": spread((a - b for a, b in zip(times, limit)), 2),
        }
        for name, times in taken.items()
    ]
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
