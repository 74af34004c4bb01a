"""An optax state made on the host is the one that ``init`` makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.monitoring
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.training.initial_state import initial_state

CONSTANT = {
    "adam": optax.adam(1e-3),
    "adamw": optax.adamw(1e-3),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "lamb": optax.lamb(1e-3),
    "lion": optax.lion(1e-3),
    "adafactor": optax.adafactor(1e-3),
    "adagrad": optax.adagrad(0.1),  # begins with 0.1
    "clipped, scheduled": optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(0.1, 10))
    ),
    "injected": optax.inject_hyperparams(optax.adam)(1e-3),
    "in groups": optax.partition(
        {"a": optax.adam(1e-3), "b": optax.sgd(0.1)}, {"w": "a", "b": "b", "half": "a"}
    ),
}
OTHERS = {"muon": optax.contrib.muon(1e-3), "schedule-free": optax.contrib.schedule_free_sgd(0.1)}


def params(size: int) -> dict[str, jax.Array]:
    shapes = {"w": ((size, 3), np.float32), "b": ((size,), np.float32), "half": ((2, size), "bfloat16")}  # fmt: skip
    return {name: jax.device_put(np.ones(*of)) for name, of in shapes.items()}


@contextmanager
def compilations() -> Iterator[list[str]]:
    names: list[str] = []

    def listen(event: str, seconds: float, **about: str) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", [*CONSTANT, *OTHERS])
def test_it_is_what_init_makes(name: str) -> None:
    tx = (CONSTANT | OTHERS)[name]
    actual, expected = initial_state(tx, params(5)), tx.init(params(5))
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert (a.dtype, a.shape, a.weak_type) == (b.dtype, b.shape, b.weak_type)
        assert a.committed == b.committed
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(("name", "size"), list(zip(CONSTANT, range(101, 200))))
def test_no_program_is_compiled(name: str, size: int) -> None:
    given = params(size)
    with compilations() as names:
        initial_state(CONSTANT[name], given)
    assert names == []


def test_an_init_that_looks_at_values_is_called_with_them() -> None:
    tx = optax.GradientTransformation(
        lambda p: {"positive": p["w"] * float(p["w"].sum())}, lambda g, s, p=None: (g, s)
    )
    state = initial_state(tx, {"w": jax.device_put(np.full(2, 3.0, np.float32))})
    assert state["positive"].tolist() == [18.0, 18.0]


def test_sharded_parameters_have_a_sharded_state() -> None:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    state = initial_state(optax.adam(0.1), {"w": jax.device_put(np.ones((8, 2)), rows)})
    assert state[0].mu["w"].sharding == rows


def test_a_model_and_its_optimizer_are_built_without_a_program_for_each_shape() -> None:
    def build(size: int) -> None:
        model = nnx.Linear(size, size + 1, rngs=nnx.Rngs(0))
        nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        nnx.MultiMetric(loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy())

    build(3)  # the initialiser's
    with compilations() as names:
        build(211)
    assert names == []
