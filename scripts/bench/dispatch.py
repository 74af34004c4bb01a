"""What nnx.jit costs beside the limit: jax.jit on the flat list of the same arrays.

All run the same training step (blocks of Linear, BatchNorm, Dropout; adam). The flat function takes the same arrays as
nnx.jit, returns the same changed arrays and donates the same; Flax's and Equinox's are what their users write. All take
turns, a few steps each; figures are medians, of the ratio with the flat function in the same turn, with quartiles.

    python scripts/bench/dispatch.py [--blocks 3 10 40] [--rounds 100] [--steps 10] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from models import blocks, regression_step
from turns import have, markdown, median, spread, take_turns

from nnxtrain import nnx
from nnxtrain.nnx.graph.structure import walk

FEATURES = 8


def batch() -> tuple[jax.Array, jax.Array]:
    return jax.random.normal(jax.random.key(1), (8, FEATURES)), jnp.zeros((8, FEATURES))


def objects(library: Any, num_blocks: int) -> tuple[Any, Any]:
    """The model and its optimizer."""
    model = blocks(library, num_blocks, FEATURES)
    return model, library.Optimizer(model, optax.adam(1e-3), wrt=library.Param)


def ours(num_blocks: int, steps: int, donate: bool) -> Callable[[], jax.Array]:
    model, optimizer = objects(nnx, num_blocks)
    step = nnx.jit(regression_step(nnx), donate=donate)
    x, y = batch()

    def run() -> jax.Array:
        for _ in range(steps):
            loss = step(model, optimizer, x, y)
        return loss.block_until_ready()

    return run


def flat(num_blocks: int, steps: int, donate: bool) -> tuple[Callable[[], jax.Array], int]:
    """The same step as a function of the flat list of arrays, compiled by jax.jit and nothing else."""
    structure = walk(objects(nnx, num_blocks))
    graphdef, values = structure.graphdef, structure.values()
    train_step = regression_step(nnx)
    x, y = batch()
    twins = objects(nnx, num_blocks)
    nnx.jit(train_step)(*twins, x, y)
    pairs = enumerate(zip(values, walk(twins).values()))
    changed = [i for i, (before, after) in pairs if not _equal(before, after)]

    def pure(written: list, kept: list, x: jax.Array, y: jax.Array) -> tuple[jax.Array, list]:
        arrays = dict(zip(changed, written)) | dict(zip(kept_numbers, kept))
        nodes = graphdef.build([arrays[i] for i in range(len(arrays))])
        loss = train_step(*nodes[0], x, y)
        return loss, [nodes[graphdef.leaf_nodes[i]].raw_value for i in changed]

    kept_numbers = sorted(set(range(len(values))) - set(changed))
    written, kept = [values[i] for i in changed], [values[i] for i in kept_numbers]
    compiled = jax.jit(pure, donate_argnums=0 if donate else ())

    def run() -> jax.Array:
        nonlocal written
        for _ in range(steps):
            loss, written = compiled(written, kept, x, y)
        return loss.block_until_ready()

    return run, len(values)


def of_flax(num_blocks: int, steps: int) -> dict[str, Callable[[], jax.Array]]:
    from flax import nnx as flax

    x, y = batch()
    runs = {}
    for name in ("flax nnx.jit", "flax cached_partial"):
        model, optimizer = objects(flax, num_blocks)
        step = flax.jit(regression_step(flax))
        if name == "flax cached_partial":
            step = flax.cached_partial(step, model, optimizer)
        arguments = (x, y) if name == "flax cached_partial" else (model, optimizer, x, y)

        def run(step: Callable = step, arguments: tuple = arguments) -> jax.Array:
            for _ in range(steps):
                loss = step(*arguments)
            return loss.block_until_ready()

        runs[name] = run
    return runs


def of_equinox(num_blocks: int, steps: int) -> Callable[[], jax.Array]:
    """The same blocks as an Equinox module, whose statistics and counts are arrays of it."""
    import equinox

    class Block(equinox.Module):
        kernel: jax.Array
        bias: jax.Array
        scale: jax.Array
        offset: jax.Array
        mean: jax.Array
        var: jax.Array
        key: jax.Array
        count: jax.Array

        def __init__(self, key: jax.Array):
            ones, zeros = jnp.ones(FEATURES), jnp.zeros(FEATURES)
            self.kernel = jax.nn.initializers.lecun_normal()(key, (FEATURES, FEATURES))
            self.bias, self.scale, self.offset, self.mean, self.var = (
                zeros,
                ones,
                zeros,
                zeros,
                ones,
            )
            self.key, self.count = jax.random.key_data(key), jnp.zeros((), jnp.uint32)

        def __call__(self, x: jax.Array) -> tuple[jax.Array, tuple]:
            y = x @ self.kernel + self.bias
            mean, var = y.mean(0), y.var(0)
            y = jax.nn.relu((y - mean) * jax.lax.rsqrt(var + 1e-5) * self.scale + self.offset)
            key = jax.random.fold_in(jax.random.wrap_key_data(self.key), self.count)
            y = jnp.where(jax.random.bernoulli(key, 0.9, y.shape), y / 0.9, 0.0)
            averages = 0.99 * self.mean + 0.01 * mean, 0.99 * self.var + 0.01 * var
            return x + y, (*averages, self.count + 1)

    def parts(block: Block) -> tuple:
        return block.kernel, block.bias, block.scale, block.offset

    def state(block: Block) -> tuple:
        return block.mean, block.var, block.count

    transformation = optax.adam(1e-3)

    @equinox.filter_jit
    def step(model: list, opt_state: Any, x: jax.Array, y: jax.Array) -> tuple:
        def loss_fn(params: list) -> tuple[jax.Array, list]:
            z, written = x, []
            for block, values in zip(model, params):
                z, new = equinox.tree_at(parts, block, values)(z)
                written.append(new)
            return jnp.mean((z - y) ** 2), written

        params = [parts(block) for block in model]
        (loss, written), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = transformation.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        model = [
            equinox.tree_at(lambda b: (*parts(b), *state(b)), block, (*values, *new))
            for block, values, new in zip(model, params, written)
        ]
        return loss, model, opt_state

    model = [Block(key) for key in jax.random.split(jax.random.key(0), num_blocks)]
    opt_state = transformation.init([parts(block) for block in model])
    x, y = batch()

    def run() -> jax.Array:
        nonlocal model, opt_state
        for _ in range(steps):
            loss, model, opt_state = step(model, opt_state, x, y)
        return loss.block_until_ready()

    return run


def compare(num_blocks: int, donate: bool, rounds: int, steps: int, peers: set[str]) -> list[dict]:
    run_flat, size = flat(num_blocks, steps, donate)
    contestants: dict[str, Callable[[], jax.Array]] = {"jax.jit, flat list": run_flat}
    contestants["nnxtrain nnx.jit"] = ours(num_blocks, steps, donate)
    if "flax" in peers:
        contestants |= of_flax(num_blocks, steps)
    if "equinox" in peers:
        contestants["equinox filter_jit"] = of_equinox(num_blocks, steps)
    losses = {name: float(run()) for name, run in contestants.items()}
    if losses["nnxtrain nnx.jit"] != losses["jax.jit, flat list"]:
        raise SystemExit(f"the functions that are compared compute different losses: {losses}")
    taken = take_turns(contestants, rounds, steps)
    limit = taken["jax.jit, flat list"]
    return [
        {
            "Variables": size,
            "donated": "yes" if donate else "no",
            "function": name,
            "µs a step": round(median(times)),
            "ratio": spread(a / b for a, b in zip(times, limit)),
            "µs more": round(median(a - b for a, b in zip(times, limit)), 1),
        }
        for name, times in taken.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, nargs="+", default=[3, 10, 40])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--no-peers", action="store_true", help="leave Flax and Equinox out")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    args = parser.parse_args()

    installed = set() if args.no_peers else {name for name in ("flax", "equinox") if have(name)}
    rows = []
    for num_blocks in args.blocks:
        for donate in (False, True):
            peers = set() if donate else installed
            rows += compare(num_blocks, donate, args.rounds, args.steps, peers)
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


def _equal(a: jax.Array, b: jax.Array) -> bool:
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return bool((a == b).all())


if __name__ == "__main__":
    main()
