import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.config.schema import OptimConfig
from nnxtrain.errors import InputError
from nnxtrain.optim import build_optimizer, cosine, linear

ADAM = {"_target_": "optax.adam", "b1": 0.8}
MODEL = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))


def test_the_optimizer_is_the_one_of_optax():
    made = build_optimizer(OptimConfig(ADAM, 0.1), MODEL, 10)
    tx, schedule = made.tx, made.schedule
    params, grads = jnp.ones(3), jnp.arange(3.0)
    ours, _ = tx.update(grads, tx.init(params), params)
    theirs = optax.adam(0.1, b1=0.8)
    np.testing.assert_allclose(ours, theirs.update(grads, theirs.init(params), params)[0])
    assert schedule(5) == 0.1


def test_clipping_comes_first():
    tx = build_optimizer(OptimConfig({"_target_": "optax.sgd"}, 1.0, clip_norm=1.0), MODEL, 10).tx
    updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-0.6, -0.8], rtol=1e-6)


def test_schedules_span_the_run():
    schedule = {"_target_": "nnxtrain.optim.cosine", "warmup": 0.1, "final": 0.01}
    rate = build_optimizer(OptimConfig(ADAM, 0.5, schedule), MODEL, 200).schedule
    steps = np.arange(201)
    cos = 0.5 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (steps - 20) / 180)))
    expected = np.where(steps < 20, 0.5 * steps / 20, cos)
    np.testing.assert_allclose([float(rate(s)) for s in steps], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_shares_outside_0_to_1_are_refused(schedule):
    with pytest.raises(ValueError, match="warmup is a share"):
        schedule(0.1, 10, warmup=5)
    node = {"_target_": f"nnxtrain.optim.{schedule.__name__}", "warmup": 5}
    with pytest.raises(InputError, match="warmup is a share"):
        build_optimizer(OptimConfig(ADAM, 0.1, node), MODEL, 10)
