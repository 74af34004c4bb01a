"""A long run leaves nothing behind: the numbers of Python objects and of arrays, and the memory, stay flat."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.graph.structure import Check


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(4, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dropout(nnx.relu(self.norm(self.linear(x))))


def objects_by_type() -> Counter:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


@pytest.mark.parametrize("donate", [False, True])
def test_a_thousand_steps_leave_objects_arrays_and_memory_flat(
    donate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Check, "enabled", False)  # as users run it
    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    metrics = nnx.metrics.Average("loss")
    x = jnp.ones((8, 4))

    @nnx.jit(donate=donate)
    def step(model: Net, optimizer: nnx.Optimizer, metrics: nnx.Metric, x: jax.Array) -> jax.Array:
        loss, grads = nnx.value_and_grad(lambda model: model(x).mean())(model)
        optimizer.update(model, grads)
        metrics.update(loss=loss)
        return loss

    @nnx.jit
    def plain(x: jax.Array) -> jax.Array:
        return x * 2

    def run(steps: int) -> None:
        for index in range(steps):
            if index % 100 == 50:  # and with structure that changes and changes back
                model.eval()
                model.train()
            plain(step(model, optimizer, metrics, x))

    run(200)
    objects_by_type()  # to look leaves a few objects once
    run(200)
    objects, arrays = objects_by_type(), len(jax.live_arrays())
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    run(1000)
    after_objects, after_arrays = objects_by_type(), len(jax.live_arrays())
    grown = sum(
        difference.size_diff
        for difference in tracemalloc.take_snapshot().compare_to(before, "filename")
        if "tracemalloc" not in difference.traceback[0].filename
    )
    tracemalloc.stop()
    more = {k: n for k, n in (after_objects - objects).items() if n > 20}
    assert not more, f"objects that grew in number: {more}"
    assert after_arrays <= arrays + 2
    assert grown < 64 * 1024, f"{grown} bytes more after 1000 steps"


def test_a_dropped_model_frees_its_arrays_while_its_compiled_function_lives() -> None:
    @nnx.jit(donate=True)
    def step(model: Net, x: jax.Array) -> jax.Array:
        return model(x).sum()

    x = jnp.ones((8, 4))
    step(Net(nnx.Rngs(0)), x)
    gc.collect()
    arrays = len(jax.live_arrays())
    for seed in range(5):
        model = Net(nnx.Rngs(seed))
        step(model, x)
        step(model, x)
        del model
    gc.collect()
    assert len(jax.live_arrays()) <= arrays + 1


def test_arrays_that_come_to_be_shared_between_steps_are_spared_by_donation() -> None:
    """The second call with the same objects does not compare arrays; XLA then refuses, and they are copied."""

    class Pair(nnx.Module):
        def __init__(self) -> None:
            self.a, self.b = nnx.Param(jnp.zeros(3)), nnx.Param(jnp.ones(3))

    @nnx.jit(donate=True)
    def add(pair: Pair, x: jax.Array) -> None:
        pair.a.value += x
        pair.b.value += x

    pair, x = Pair(), jnp.ones(3)
    for _ in range(3):
        add(pair, x)
    pair.b.value = pair.a.value
    kept = pair.a.value
    add(pair, x)
    np.testing.assert_array_equal(pair.a.value, [4, 4, 4])
    np.testing.assert_array_equal(pair.b.value, [4, 4, 4])
    pair.a.value = x  # shared with an argument
    add(pair, x)
    np.testing.assert_array_equal(pair.a.value, [2, 2, 2])
    np.testing.assert_array_equal(x, [1, 1, 1])
    assert kept.shape == (3,)
