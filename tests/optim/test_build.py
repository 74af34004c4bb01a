import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.config import compose, list_options
from nnxtrain.config.checks import check
from nnxtrain.config.schema import OptimConfig
from nnxtrain.errors import InputError
from nnxtrain.optim import build_optimizer
from nnxtrain.training.state import TrainState
from nnxtrain.training.step import make_train_step

ADAM = {"_target_": "optax.adam", "b1": 0.8}
SGD = {"_target_": "optax.sgd"}
MODEL = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))


def build(*args, **kwargs):
    return build_optimizer(OptimConfig(*args, **kwargs), MODEL, 200, steps_per_epoch=20)


def updates(tx, grads, params):
    return tx.update(grads, tx.init(params), params)[0]


def test_the_optimizer_is_the_one_of_optax():
    made = build(ADAM, 0.1)
    params, grads = jnp.ones(3), jnp.arange(3.0)
    theirs = updates(optax.adam(0.1, b1=0.8), grads, params)
    np.testing.assert_array_equal(updates(made.tx, grads, params), theirs)
    assert made.schedule(5) == 0.1
    assert made.wrt is nnx.Param


def test_clipping_by_the_global_norm():
    tx = build(SGD, 1.0, clip_norm=1.0).tx
    np.testing.assert_allclose(
        updates(tx, jnp.array([3.0, 4.0]), jnp.zeros(2)), [-0.6, -0.8], rtol=1e-6
    )


def test_clipping_by_value():
    tx = build(SGD, 1.0, clip_value=0.5).tx
    np.testing.assert_array_equal(
        updates(tx, jnp.array([3.0, -4.0, 0.25]), jnp.zeros(3)), [-0.5, 0.5, -0.25]
    )


def test_adaptive_clipping():
    """Of a dense layer, each output is a unit."""
    params, grads = np.array([[3.0, 0.0], [4.0, 0.1]]), np.array([[6.0, 0.0], [8.0, 0.001]])
    tx = build(SGD, 1.0, clip_adaptive=0.2).tx
    # The first unit's gradient has norm 10 and may have 0.2 * 5; the second's 0.001 may have 0.2 * 0.1.
    expected = -np.array([[0.6, 0.0], [0.8, 0.001]])
    found = updates(tx, jnp.asarray(grads, jnp.float32), jnp.asarray(params, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_schedules_span_the_run():
    schedule = {"_target_": "nnxtrain.optim.cosine", "warmup": "1 epoch", "final": 0.01}
    rate = build(ADAM, 0.5, schedule).schedule
    steps = np.arange(0, 201, 10)
    cos = 0.5 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (steps - 20) / 180)))
    expected = np.where(steps < 20, 0.5 * steps / 20, cos)
    np.testing.assert_allclose([float(rate(s)) for s in steps], expected, rtol=1e-5, atol=1e-7)


def test_a_schedule_that_cannot_be_built():
    with pytest.raises(InputError, match=r"nnxtrain.optim.cosine could not .* warmup is a share"):
        build(ADAM, 0.1, {"_target_": "nnxtrain.optim.cosine", "warmup": 5})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"momentum": 0.9, "nesterov": True}, [0.675683141, -2.40916562, 1.26341605]),
        ({"momentum": 0.9}, [0.770489454, -2.27942061, 1.03138125]),
        ({}, [0.880648315, -2.15930128, 0.78857851]),
    ],
)
def test_sgd_decays_weights_as_torch_does(arguments, expected):
    """Numbers of torch.optim.SGD (2.13) after four steps."""
    node = {"_target_": "nnxtrain.optim.sgd", "weight_decay": 0.05, **arguments}
    tx = build(node, 0.1).tx
    params = jnp.array([1.0, -2.0, 0.5])
    state = tx.init(params)
    for step in range(4):
        grads = jnp.array([0.1, 0.2, -0.3]) * (step + 1)
        changes, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, changes)
    np.testing.assert_allclose(params, expected, rtol=1e-6)


class Task:
    def outputs(self, model, batch):
        return {"loss": jnp.square(model(batch["x"]) - 1.0).mean(-1)}

    def metrics(self):
        return nnx.MultiMetric(loss=nnx.metrics.Average("loss"))


@pytest.mark.parametrize("option", list_options("optim"))
def test_each_option_lowers_the_loss_in_the_compiled_step(option):
    config = compose([f"optim={option}"])
    check(config)
    made = []

    def state():
        model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
        if not made:
            made.append(build_optimizer(config.optim, model, 12, steps_per_epoch=6))
        return TrainState(model, made[0].tx, Task().metrics(), wrt=made[0].wrt)

    trained, step = state(), make_train_step(Task())
    losses = []
    for _ in range(12):
        step(trained, {"x": np.eye(4, dtype=np.float32)})
        losses.append(float(trained.metrics.compute()["loss"]))
        trained.metrics.reset()
    assert losses[-1] < losses[0]
    assert all(np.isfinite(losses))
    assert step._cache_size() == 1


@pytest.mark.parametrize("option", list_options("optim/schedule"))
def test_each_schedule_goes_with_any_optimizer_that_has_one(option):
    for optimizer in ("adam", "adam_cosine", "sgd"):
        config = compose([f"optim={optimizer}", f"optim/schedule={option}"])
        check(config)
    schedule = build_optimizer(config.optim, MODEL, 100, steps_per_epoch=20).schedule
    rates = [float(schedule(step)) for step in range(101)]
    assert max(rates) == pytest.approx(config.optim.learning_rate)
    assert min(rates) >= 0


def own_constant(learning_rate):
    """An optimizer that makes an array for itself."""
    factor = -learning_rate * jnp.ones(())
    return optax.stateless(lambda grads, params: jax.tree.map(lambda g: factor * g, grads))


def test_arrays_of_a_node_belong_to_no_trace():
    """The optimizer is made while the state is traced, and used in another trace."""
    made = []

    def trace():
        config = OptimConfig({"_target_": f"{__name__}.own_constant"}, 0.5)
        model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        made.append(build_optimizer(config, model, 10, packages=[__name__.partition(".")[0]]))
        return model

    nnx.eval_shape(trace)
    changed = jax.jit(lambda grads: updates(made[0].tx, grads, grads))(jnp.ones(3))
    np.testing.assert_array_equal(changed, [-0.5, -0.5, -0.5])
