"""How the time of a training step grows with the work, on the CPU: nnxtrain's step, beside plain JAX.

A perceptron with Adam, by nnxtrain's own step (metrics, gradient norm and guard with it) and by hand. One thing grows at a
time: the batch; the width (against the number of parameters); the depth; the number of Variables (many layers of 8
features, so that there is little arithmetic in each); and the number of examples in memory, where a step includes the
shuffled batch, by ``nnxtrain.data.loader`` or by a permutation of NumPy's, and "to start" is the time until the first one.

The slope is that of the line through the logarithms, and that between the last two points: 1 is proportional. What ends
above 1.1 is marked.

    python scripts/bench/growth.py [--rounds 5] [--svg docs/images/growth.svg] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from growth_chart import chart
from turns import markdown, median, spread, take_turns

from nnxtrain import nnx
from nnxtrain.cli.freed_memory import keep_freed_memory
from nnxtrain.data import ArraySource, Spec
from nnxtrain.data.loader import train_batches
from nnxtrain.models import MLP
from nnxtrain.tasks import Classification
from nnxtrain.training.dispatch import dispatch_as_told
from nnxtrain.training.session import decide
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_train_step

CLASSES = 10
SURPRISE = 1.1
SIDES = "nnxtrain", "plain JAX"


@dataclass(frozen=True)
class Size:
    """Of a perceptron and its data."""

    batch: int = 64
    features: int = 64
    width: int = 256
    depth: int = 2

    @property
    def spec(self) -> Spec:
        return Spec((self.features,), "float32", num_classes=CLASSES)

    def model(self) -> MLP:
        hidden = (self.width,) * self.depth
        model = MLP(CLASSES, input_shape=(self.features,), hidden=hidden, rngs=nnx.Rngs(0))
        decide(model)
        return model

    def state(self) -> TrainState:
        task = Classification(spec=self.spec)
        return TrainState(self.model(), optax.adam(1e-3), task.metrics())

    def examples(self, count: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        label = random.integers(0, CLASSES, count, "int32")
        return {"input": random.standard_normal((count, self.features), "float32"), "label": label}


Step = Callable[[dict[str, Any]], jax.Array]  # trains on a batch


def of_nnxtrain(size: Size) -> Step:
    return partial(make_train_step(Classification(spec=size.spec)), size.state())


def by_hand(size: Size) -> Step:
    linears = size.model().linears
    params = [(jnp.array(x.kernel.value), jnp.array(x.bias.value)) for x in linears]
    tx = optax.adam(1e-3)

    def loss_fn(params: list, batch: dict[str, jax.Array]) -> jax.Array:
        x = batch["input"]
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        logits = x @ params[-1][0] + params[-1][1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: dict[str, jax.Array]) -> tuple:
        params, opt_state = state
        loss, grads = jax.value_and_grad(loss_fn)(params, batch)
        updates, opt_state = tx.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    state = params, tx.init(params)

    def train(batch: dict[str, Any]) -> jax.Array:
        nonlocal state
        state, loss = step(state, batch)
        return loss

    return train


def repeat(step: Step, batch: dict[str, Any], steps: int) -> None:
    for _ in range(steps):
        result = step(batch)
    result.block_until_ready()


def steps_of(size: Size, rounds: int) -> list[tuple[float, float]]:
    """µs a step of both sides, round by round."""
    batch = jax.device_put(size.examples(size.batch))
    made = {"nnxtrain": of_nnxtrain(size), "plain JAX": by_hand(size)}
    start = time.perf_counter()
    for step in made.values():
        repeat(step, batch, 2)  # the first compiles
        start = time.perf_counter() if step is made["nnxtrain"] else start
        repeat(step, batch, 1)
    count = max(1, min(50, round(0.1 / (time.perf_counter() - start))))  # about 0.1 s a turn
    runs = {name: partial(repeat, step, batch, count) for name, step in made.items()}
    return list(zip(*take_turns(runs, rounds, count).values()))


def in_order(examples: dict[str, np.ndarray], batch: int) -> Any:
    """Shuffled batches without end, as one writes them by hand."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(examples["label"]))
        for first in range(0, len(order) - batch + 1, batch):
            yield {name: a[order[first : first + batch]] for name, a in examples.items()}


def loops_of(count: int, rounds: int, steps: int = 50) -> tuple[list, list]:
    """µs a step with its batch, and µs to the first batch, of both sides, round by round."""
    size = Size(features=16, width=32)
    examples = size.examples(count)
    source = ArraySource(examples, size.spec)
    made = {"nnxtrain": of_nnxtrain(size), "plain JAX": by_hand(size)}
    feeds: dict[str, Callable[[], Any]] = {
        "nnxtrain": partial(train_batches, source, batch_size=size.batch, seed=0),
        "plain JAX": partial(in_order, examples, size.batch),
    }

    def start(name: str) -> None:
        batches = feeds[name]()
        next(batches)
        batches.close()

    def loop(step: Step, batches: Any) -> None:
        for _ in range(steps):
            result = step(next(batches))
        result.block_until_ready()

    for name in SIDES:
        start(name)
    starts = take_turns({name: partial(start, name) for name in SIDES}, rounds, 1)
    open_feeds = {name: feed() for name, feed in feeds.items()}
    for name in SIDES:
        loop(made[name], open_feeds[name])
    runs = {name: partial(loop, made[name], open_feeds[name]) for name in SIDES}
    taken = take_turns(runs, rounds, steps)
    for feed in open_feeds.values():
        feed.close()
    return list(zip(*taken.values())), list(zip(*starts.values()))


def count_of(size: Size, kind: Any) -> int:
    state = nnx.eval_shape(size.state)
    if kind is nnx.Param:
        return sum(x.size for x in jax.tree.leaves(nnx.state(state.model, nnx.Param)))
    return len(nnx.to_flat_state(nnx.variables(state)))


def measured(smoke: bool, rounds: int) -> dict[str, list[tuple[int, list[tuple[float, float]]]]]:
    """By what grows: its values, and the times of both sides there."""

    def sizes(small: Sequence[int], full: Sequence[int], **fixed: int) -> list[Size]:
        ((name, _),) = ((k, v) for k, v in fixed.items() if v == 0)
        return [Size(**{**fixed, name: value}) for value in (small if smoke else full)]

    batches = sizes((8, 16), (8, 16, 32, 64, 128, 256, 512), batch=0)
    widths = sizes((8, 16), (32, 64, 128, 256, 512, 1024), width=0)
    depths = sizes((1, 2), (1, 2, 4, 8, 16, 32), depth=0, width=128)
    many = sizes((1, 2), (1, 4, 12, 40, 150), depth=0, width=8, batch=8)
    found = {
        "batch": [(s.batch, steps_of(s, rounds)) for s in batches],
        "width (parameters)": [(count_of(s, nnx.Param), steps_of(s, rounds)) for s in widths],
        "depth (layers)": [(s.depth + 1, steps_of(s, rounds)) for s in depths],
        "Variables": [(count_of(s, None), steps_of(s, rounds)) for s in many],
    }
    counts = (100, 200) if smoke else (1_000, 10_000, 100_000, 1_000_000)
    loops = [(count, loops_of(count, rounds)) for count in counts]
    found["examples, a step"] = [(count, both[0]) for count, both in loops]
    found["examples, to start"] = [(count, both[1]) for count, both in loops]
    return found


def slopes(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Of the line through the logarithms, and between the last two points."""
    log_x, log_y = np.log(x), np.log(y)
    last = (log_y[-1] - log_y[-2]) / (log_x[-1] - log_x[-2])
    return float(np.polyfit(log_x, log_y, 1)[0]), float(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--svg", type=Path, help="draw the curves into this file")
    parser.add_argument("--smoke", action="store_true", help="one round of two small sizes")
    parser.add_argument("--json", action="store_true", help="one JSON object a row, not a table")
    args = parser.parse_args()

    keep_freed_memory(os.environ)  # for both sides
    dispatch_as_told(os.environ)
    found = measured(args.smoke, 1 if args.smoke else args.rounds)
    rows, curves = [], {}
    for what, points in found.items():
        x = [value for value, _ in points]
        sides = [[median(t[side] for t in times) for _, times in points] for side in (0, 1)]
        curves[what] = {name: list(zip(x, y)) for name, y in zip(SIDES, sides)}
        for value, ours, (_, times) in zip(x, sides[0], points):
            rows.append({
                "what grows": what,
                "value": value,
                "nnxtrain µs": round(ours),
                "plain JAX / nnxtrain": spread(hand / own for own, hand in times),
            })  # fmt: skip
        for column, side in zip(("slope", "plain JAX's"), sides):
            whole, last = slopes(x, side)
            mark = " super-linear" if last > SURPRISE else ""
            rows[-1][f"{column} (at the end)"] = f"{whole:.2f} ({last:.2f}{mark})"
    if args.svg:
        args.svg.parent.mkdir(parents=True, exist_ok=True)
        args.svg.write_text(chart(curves))
    print("\n".join(map(json.dumps, rows)) if args.json else markdown(rows))


if __name__ == "__main__":
    main()
