"""No compilation is repeated. Counted by JAX's own compilation events, not by anything of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """How many programs XLA compiled; ``names`` are the functions'."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    def listen(self, event: str, seconds: float, **details: Any) -> None:
        if event == COMPILED:
            self.names.append(str(details.get("fun_name", "?")))


@contextmanager
def counted() -> Iterator[Compilations]:
    compilations = Compilations()
    jax.monitoring.register_event_duration_secs_listener(compilations.listen)
    try:
        yield compilations
    finally:
        jax.monitoring.unregister_event_duration_listener(compilations.listen)


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.conv(x)))
        return self.head(self.dropout(x.mean((1, 2))))


def loss_fn(model: Net, batch: dict) -> tuple[jax.Array, jax.Array]:
    logits = model(batch["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return losses.mean(), logits


def new_train_step(**options: Any) -> Callable:
    @nnx.jit(**options)
    def train_step(
        model: Net, optimizer: nnx.Optimizer, metrics: nnx.MultiMetric, batch: dict
    ) -> None:
        (loss, logits), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model, batch)
        optimizer.update(model, grads)
        metrics.update(loss=loss, logits=logits, labels=batch["label"])

    return train_step


def new_eval_step() -> Callable:
    @nnx.jit
    def eval_step(model: Net, metrics: nnx.MultiMetric, batch: dict) -> None:
        loss, logits = loss_fn(model, batch)
        metrics.update(loss=loss, logits=logits, labels=batch["label"])

    return eval_step


def new_metrics() -> nnx.MultiMetric:
    return nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))


ADAM = optax.adam(
    1e-2
)  # one for all: the functions that optax returns are equal to none but themselves


def new_objects(seed: int = 0) -> tuple[Net, nnx.Optimizer]:
    model = Net(nnx.Rngs(seed))
    return model, nnx.Optimizer(model, ADAM, wrt=nnx.Param)


def batch(step: int, size: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(step)
    images = random.normal(size=(size, 6, 6, 1)).astype(np.float32)
    return {"image": images, "label": random.integers(0, 3, size).astype(np.int32)}


@pytest.mark.parametrize("donate", [False, True])
def test_one_compilation_for_each_function_and_shape_over_a_hundred_steps(donate: bool) -> None:
    model, optimizer = new_objects()
    train_metrics, eval_metrics = new_metrics(), new_metrics()
    train_step, eval_step = new_train_step(donate=donate), new_eval_step()

    def run(steps: range) -> None:
        for step in steps:
            model.train()
            train_step(model, optimizer, train_metrics, batch(step))
            if step % 10 == 9:
                train_metrics.compute(), train_metrics.reset()
                model.eval()
                for index in range(3):
                    eval_step(model, eval_metrics, batch(1000 + index, size=4))
                eval_step(model, eval_metrics, batch(1003, size=2))  # the last one is smaller
                eval_metrics.compute(), eval_metrics.reset()

    with counted() as all_of_it:
        run(range(10))
    compiled = [name for name in all_of_it.names if "step" in name or "run" in name]
    assert len(compiled) == 3, all_of_it.names  # the training step, and eval for its two shapes
    with counted() as rest:
        run(range(10, 100))
    assert rest.names == []
    assert int(optimizer.step.value) == 100


def test_two_models_of_one_structure_share_the_compilation() -> None:
    train_step, metrics = new_train_step(), new_metrics()
    train_step(*new_objects(seed=0), metrics, batch(0))
    other, other_metrics = new_objects(seed=1), new_metrics()
    with counted() as compilations:
        train_step(*other, other_metrics, batch(1))
        train_step(*nnx.clone(other), nnx.clone(other_metrics), batch(1))
    assert compilations.names == []


def test_values_from_elsewhere_compile_nothing_new() -> None:
    """NumPy arrays, Python numbers and restored states are leaves of the same kind as what the step returns."""
    train_step, (model, optimizer), metrics = new_train_step(), new_objects(), new_metrics()
    train_step(model, optimizer, metrics, batch(0))
    saved = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.RngKey))))
    with counted() as compilations:
        nnx.update(model, saved)
        model.head.bias.value = np.zeros(3, np.float32)
        train_step(model, optimizer, metrics, batch(1))
    assert compilations.names == []


def test_toggling_and_restoring_structure_finds_the_old_program() -> None:
    @nnx.jit
    def forward(model: Net, x: jax.Array) -> jax.Array:
        return model(x)

    model, x = Net(nnx.Rngs(0)), jnp.ones((2, 6, 6, 1))
    for mode in (model.train, model.eval):
        mode()
        forward(model, x)
    with counted() as compilations:
        for _ in range(3):
            for mode in (model.train, model.eval):
                mode()
                forward(model, x)
    assert compilations.names == []


def test_layers_that_choose_by_platform_compile_once_when_called_eagerly() -> None:
    conv, x = nnx.Conv(3, 6, (5, 5), rngs=nnx.Rngs(0)), jnp.ones((2, 8, 8, 3))
    nnx.max_pool(conv(x), (2, 2), (2, 2))
    with counted() as compilations:
        nnx.max_pool(conv(x), (2, 2), (2, 2))
    assert compilations.names == []


class Residual(nnx.Module):
    def __init__(self, channels: int, features: int, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(channels, features, (3, 3), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(features, rngs=rngs)
        self.conv2 = nnx.Conv(features, features, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(features, rngs=rngs)


class ResNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, width: int):
        self.stem = nnx.Conv(3, width, (7, 7), rngs=rngs)
        sizes = [width, width, 2 * width, 3 * width, 5 * width]
        self.blocks = [Residual(a, b, rngs) for a, b in pairwise(sizes)]
        self.embed = nnx.Embed(7, width, rngs=rngs)
        self.head = nnx.Linear(5 * width, 11, rngs=rngs)


def test_building_compiles_few_programs_whatever_the_shapes() -> None:
    jax.clear_caches()
    with counted() as compilations:
        ResNet(nnx.Rngs(0), width=3)
    assert len(compilations) <= 4, (
        compilations.names
    )  # the seed (2), a stream's next key, random rows
    with counted() as again:
        ResNet(nnx.Rngs(1), width=5)
    assert again.names == []


def test_keys_are_drawn_by_one_program() -> None:
    rngs = nnx.Rngs(0)
    rngs.params()
    with counted() as compilations:
        keys = [rngs.params() for _ in range(20)]
    assert compilations.names == []
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == 20
