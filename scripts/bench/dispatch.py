"""What nnx.jit costs beside the limit: jax.jit on the flat list of the same arrays.

Both run the same training step (blocks of Linear, BatchNorm, Dropout; adam) on the same arrays and return the same
changed arrays. They take turns, a few steps each; the figure is the median, over the turns, of the ratio of their times.

    python scripts/bench/dispatch.py [--blocks 40] [--rounds 100] [--steps 10] [--donate]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx


class Blocks(nnx.Module):
    def __init__(self, num_blocks: int, features: int, *, rngs: nnx.Rngs):
        self.blocks = [Block(features, rngs=rngs) for _ in range(num_blocks)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return x


class Block(nnx.Module):
    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.BatchNorm(features, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.dropout(nnx.relu(self.norm(self.linear(x))))


def train_step(model: Blocks, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> jax.Array:
    def loss_fn(model: Blocks) -> jax.Array:
        return jnp.mean((model(x) - y) ** 2)

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


def flat_step(graphdef: nnx.GraphDef, changed: list[int], donate: bool) -> Callable:
    """The same step as a function of the flat list of arrays, compiled by jax.jit and by nothing else."""

    def pure(written: list, kept: list, x: jax.Array, y: jax.Array) -> tuple[jax.Array, list]:
        values = [None] * (len(written) + len(kept))
        for i, value in zip(changed, written):
            values[i] = value
        rest = iter(kept)
        values = [next(rest) if v is None else v for v in values]
        nodes = graphdef.build(values)
        loss = train_step(*nodes[0], x, y)
        return loss, [nodes[graphdef.leaf_nodes[i]].raw_value for i in changed]

    return jax.jit(pure, donate_argnums=0 if donate else ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--donate", action="store_true")
    args = parser.parse_args()

    from nnxtrain.nnx.graph import walk

    def make() -> tuple[Blocks, nnx.Optimizer]:
        model = nnx.jit(lambda: Blocks(args.blocks, args.features, rngs=nnx.Rngs(0)))()
        return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    x = jax.random.normal(jax.random.key(1), (8, args.features))
    y = jnp.zeros((8, args.features))

    model, optimizer = make()
    step = nnx.jit(train_step, donate=args.donate)
    first_loss = step(model, optimizer, x, y)

    reference, reference_optimizer = make()
    flat = walk((reference, reference_optimizer))
    values = flat.values()
    fresh = nnx.jit(train_step)
    fresh(*(twins := make()), x, y)
    changed = [
        i
        for i, (a, b) in enumerate(zip(walk(make()).values(), walk(twins).values()))
        if not _equal(a, b)
    ]
    kept_numbers = [i for i in range(len(values)) if i not in set(changed)]
    run_flat = flat_step(flat.graphdef, changed, args.donate)
    written, kept = [values[i] for i in changed], [values[i] for i in kept_numbers]
    flat_loss, written = run_flat(written, kept, x, y)
    assert _equal(flat_loss, first_loss), "the two steps must compute the same"

    def run_nnx() -> jax.Array:
        for _ in range(args.steps):
            loss = step(model, optimizer, x, y)
        return loss.block_until_ready()

    def run_plain() -> jax.Array:
        nonlocal written
        for _ in range(args.steps):
            loss, written = run_flat(written, kept, x, y)
        return loss.block_until_ready()

    times: dict[Callable, list[float]] = {run_nnx: [], run_plain: []}
    losses = {}
    for turn in range(args.rounds):
        for run in (run_nnx, run_plain) if turn % 2 else (run_plain, run_nnx):
            start = time.perf_counter()
            losses[run] = run()
            times[run].append((time.perf_counter() - start) / args.steps * 1e6)
    assert _equal(*losses.values()), "the two must still agree after all steps"

    ratios = sorted(ours / theirs for ours, theirs in zip(*times.values()))
    ratio = statistics.median(ratios)
    print(f"{len(values)} Variables, {len(changed)} changed by a step, donate={args.donate}")
    for name, measured in zip(("nnx.jit", "jax.jit, flat list"), times.values()):
        print(
            f"{name:20} median {statistics.median(measured):6.0f} µs a step (least {min(measured):.0f})"
        )
    quarter = len(ratios) // 4
    print(f"{'ratio':20} {ratio:.3f} (quartiles {ratios[quarter]:.3f}, {ratios[-quarter - 1]:.3f})")
    figures = {
        "variables": len(values),
        "changed": len(changed),
        "donate": args.donate,
        "ratio": round(ratio, 4),
    }
    print(json.dumps(figures))


def _equal(a: jax.Array, b: jax.Array) -> bool:
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return bool((a == b).all())


if __name__ == "__main__":
    main()
