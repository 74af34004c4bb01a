"""One training step: parts of a batch, averages, what is not finite, several steps in a call; against NumPy by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.data import ArraySource, Spec
from nnxtrain.data.placement import place, resident
from nnxtrain.data.source import Splits, Subset
from nnxtrain.training.compiling import compiler_options
from nnxtrain.training.diagnosis import diagnose
from nnxtrain.training.finite import parameters_finite
from nnxtrain.training.gradients import gradients
from nnxtrain.training.state import TrainState, arrays_of
from nnxtrain.training.step import make_train_step


class Task:
    """Least squares, with a weight for each example where the batch has one."""

    def outputs(self, model, batch):
        error = model(batch["input"])[:, 0] - batch["target"]
        weight = {"weight": batch["weight"]} if "weight" in batch else {}
        return {"loss": jnp.square(error), "error": error, **weight}

    def metrics(self):
        return nnx.MultiMetric(loss=nnx.metrics.Average("loss"))


def build(tx=None, **options):
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    return TrainState(model, tx or optax.sgd(0.1, momentum=0.9), Task().metrics(), **options)


def batches(count, rows=12, **extra):
    random = np.random.default_rng(0)
    return [
        {
            "input": random.normal(size=(rows, 3)).astype(np.float32),
            "target": random.normal(size=rows).astype(np.float32),
            **{name: make(random, rows) for name, make in extra.items()},
        }
        for _ in range(count)
    ]


def after(batches, *, state=None, **options):
    state = state or build()
    step = make_train_step(Task(), **options)
    for batch in batches:
        step(state, batch)
    return state


def flat(state):
    return {".".join(p): np.asarray(v) for p, v in nnx.to_flat_state(arrays_of(state))}


def assert_same(one, other):
    a, b = flat(one), flat(other)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def weights(random, rows):
    return random.integers(0, 3, rows).astype(np.float32)


def mask(random, rows):
    return random.random(rows) < 0.7


@pytest.mark.parametrize("extra", [{}, {"weight": weights}, {"mask": mask}], ids=["plain", "weight", "mask"])  # fmt: skip
def test_parts_of_a_batch_make_the_step_of_the_whole_and_that_is_numpys(extra):
    data = batches(3, **extra)
    whole, parts = after(data), after(data, parts=4)
    for path, value in flat(whole).items():
        np.testing.assert_allclose(flat(parts)[path], value, atol=1e-6, err_msg=path)

    fresh = build()
    kernel, bias = np.array(fresh.model.kernel.value)[:, 0], float(fresh.model.bias.value[0])
    momentum = np.zeros(4)
    for batch in data:
        x = np.concatenate([batch["input"], np.ones((12, 1))], 1, dtype=np.float64)
        w = batch.get("weight", np.ones(12)) * batch.get("mask", np.ones(12))
        error = x @ [*kernel, bias] - batch["target"]
        momentum = 0.9 * momentum + (2 * w * error) @ x / w.sum()
        kernel, bias = kernel - 0.1 * momentum[:3], bias - 0.1 * momentum[3]
    np.testing.assert_allclose(parts.model.kernel.value[:, 0], kernel, atol=1e-6)
    np.testing.assert_allclose(parts.model.bias.value[0], bias, atol=1e-6)
    assert parts.step == int(parts.optimizer.step.value) == 3  # schedules count updates, not parts


def test_the_average_of_the_parameters_follows_its_formula():
    state = build(ema_decay=0.8)
    step = make_train_step(Task())
    expected = np.array(state.model.kernel.value, np.float64)
    for batch in batches(4):
        step(state, batch)
        expected = 0.8 * expected + 0.2 * np.array(state.model.kernel.value, np.float64)
    np.testing.assert_allclose(state.averaged.kernel.value, expected, atol=1e-6)
    assert not np.allclose(state.model.kernel.value, expected, atol=1e-3)


def test_several_steps_in_a_call_are_those_steps():
    data = batches(6)
    single = after(data)
    chunks = [{k: np.stack([b[k] for b in data[i : i + 3]]) for k in data[0]} for i in (0, 3)]
    several = after(chunks, steps_per_call=3)
    assert several.step == 6
    for path, value in flat(single).items():
        np.testing.assert_allclose(flat(several)[path], value, atol=1e-6, err_msg=path)


def poisoned(batch):
    return {**batch, "target": np.where(np.arange(12) == 5, np.nan, batch["target"])}


@pytest.mark.parametrize("steps_per_call", [1, 4])
def test_a_state_stays_what_it_was_before_a_step_that_is_not_finite(steps_per_call):
    data = batches(4)
    before = after(data[:2], state=build(ema_decay=0.9))
    state = build(ema_decay=0.9)
    step = make_train_step(Task(), steps_per_call=steps_per_call)
    bad = [*data[:2], poisoned(data[2]), data[3]]
    if steps_per_call == 1:
        answers = [bool(step(state, batch)) for batch in bad]
        assert answers == [False, False, True, True]
    else:
        assert bool(step(state, {k: np.stack([b[k] for b in bad]) for k in bad[0]}))
    assert state.step == 2
    state.halted.value = jnp.zeros((), bool)
    for path, value in flat(before).items():
        if steps_per_call == 1:
            np.testing.assert_array_equal(flat(state)[path], value, err_msg=path)
        else:
            np.testing.assert_allclose(flat(state)[path], value, atol=1e-6, err_msg=path)


def test_a_batch_that_is_not_finite_can_be_left_out():
    data = batches(3)
    state = after([data[0], poisoned(data[1]), data[2]], skip=True)
    kept = after([data[0], data[2]], skip=True)
    assert (state.step, int(state.skipped.value), bool(state.halted.value)) == (3, 1, False)
    assert int(state.optimizer.step.value) == 2
    np.testing.assert_array_equal(state.model.kernel.value, kept.model.kernel.value)
    assert np.isfinite(float(state.metrics.compute()["loss"]))


def test_a_loss_scale_comes_down_at_an_overflow_and_the_step_is_left_out():
    data = batches(2)
    huge = {
        **data[0],
        "target": np.full(12, 1e17, np.float32),
    }  # its gradient times 2**15 overflows nothing, 2**70 would
    state = build(loss_scaling=True)
    state.loss_scale.scale.value = jnp.asarray(2.0**80, jnp.float32)
    step = make_train_step(Task())
    kernel = np.array(state.model.kernel.value)
    assert not bool(step(state, huge))
    assert float(state.loss_scale.value) == 2.0**79
    np.testing.assert_array_equal(state.model.kernel.value, kernel)
    state.loss_scale.scale.value = jnp.asarray(2.0**10, jnp.float32)
    plain = build()
    make_train_step(Task())(plain, data[1])
    step(state, data[1])
    np.testing.assert_allclose(state.model.kernel.value, plain.model.kernel.value, rtol=1e-6)


def test_where_the_scale_cannot_come_down_a_step_that_is_not_finite_halts():
    state = build(loss_scaling=True)
    state.loss_scale.scale.value = jnp.ones((), jnp.float32)
    step = make_train_step(Task())
    assert bool(step(state, poisoned(batches(1)[0])))
    halted = flat(state)
    assert bool(step(state, batches(1)[0]))  # and nothing changes it any more, the scale included
    for path, value in flat(state).items():
        np.testing.assert_array_equal(halted[path], value, err_msg=path)


def test_the_same_steps_from_the_device_and_from_the_host():
    (data,) = batches(1, rows=40)
    spec = Spec((3,), "float32", target_names=("y",))
    source = ArraySource(data, spec)
    half = Subset(Subset(source, np.arange(39, -1, -1)), np.arange(30))
    on_device = place(Splits(half, source, source), "device")
    assert resident(on_device.train)["input"] is resident(on_device.test)["input"]
    host, device = build(), build()
    step = make_train_step(Task())
    for ids in ([3, 1, 29, 7], [0, 2, 4, 6]):
        step(host, half.batch(np.array(ids)))
        step(device, on_device.train.batch(np.array(ids)), resident(on_device.train))
    assert_same(host, device)
    assert place(Splits(half, source, source), "host").train is half


class Deep(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.last = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(jnp.sqrt(jnp.abs(x)))


def test_what_is_not_finite_is_found():
    def found(model, batch, **options):
        return diagnose(Task(), model, batch, wrt=nnx.Param, **options)

    (batch,) = batches(1)
    model = Deep(nnx.Rngs(0))
    assert bool(parameters_finite(model))
    assert found(model, poisoned(batch)) == "the batch's target"
    large = nnx.clone(model)
    large.blocks[1].kernel.value = jnp.full((4, 4), 3e38)
    assert found(large, batch) == "the output of model.blocks.1 (Linear)"
    assert found(large, batch, parts=3) == "the output of model.blocks.1 (Linear)"
    zero = nnx.clone(model)  # the root's slope at 0 is infinite
    zero.blocks[1].kernel.value = jnp.zeros((4, 4))
    assert found(zero, batch) == "the gradient of model.blocks.1.bias"
    far = {**batch, "target": np.full(12, 1e30, np.float32)}
    assert found(model, far) == "the loss, of finite outputs"
    broken = nnx.clone(model)
    broken.first.bias.value = broken.first.bias.value.at[0].set(jnp.nan)
    assert found(broken, batch) == "the parameter model.first.bias"
    assert not bool(parameters_finite(broken))


@pytest.mark.parametrize("scale", [1.0, 8.0, jnp.float32(8)])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_model_in_float64_gets_gradients_in_float64(parts, scale):
    with jax.enable_x64(True):
        random = np.random.default_rng(1)
        x, y, w = random.normal(size=(6, 3)), random.normal(size=6), random.uniform(size=6)
        model = nnx.Linear(3, 1, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        kernel = np.asarray(model.kernel.value)
        batch = {"input": jnp.asarray(x), "target": jnp.asarray(y), "weight": jnp.asarray(w)}
        found = gradients(
            Task(), model, Task().metrics(), batch, wrt=nnx.Param, parts=parts, scale=scale
        )
        error = (x @ kernel)[:, 0] - y
        expected = (2 * w * error) @ x / w.sum()
        np.testing.assert_allclose(found.loss, (w * error**2).sum() / w.sum(), rtol=1e-14)
        np.testing.assert_allclose(found.grads.kernel.value[:, 0], expected, rtol=1e-13)


def test_on_a_cpu_convolutions_are_not_left_to_ynnpack():
    conv = nnx.Conv(32, 32, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
    x = jnp.ones((8, 32, 32, 32))

    def gradient(conv, x):
        return nnx.grad(lambda conv: (conv(x) ** 2).sum())(conv)

    compiled = nnx.jit(gradient, compiler_options=compiler_options()).lower(conv, x).compile()
    assert "convolution(" in compiled.as_text()
    assert "__ynn_fusion" not in compiled.as_text()
