"""nnx.TrainState."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx


class Model(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.linear(x))

    def encode(self, x):
        return self.linear(x)


class State(nnx.TrainState):
    batch_stats: nnx.State


def make(tx):
    graphdef, params, batch_stats = nnx.split(Model(nnx.Rngs(0)), nnx.Param, nnx.BatchStat)
    return State.create(graphdef, params=params, tx=tx, batch_stats=batch_stats)


def test_trains_as_the_optimizer_does():
    x, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 4)), jnp.float32)
    x = x[:, :3]
    state = make(optax.adam(1e-2))
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    @jax.jit
    def functional(state):
        def loss(params):
            out, (_, new) = state.apply(params, "batch_stats")(x)
            return ((out - y) ** 2).mean(), new.filter(nnx.BatchStat)

        grads, batch_stats = jax.grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads, batch_stats=batch_stats)

    @nnx.jit
    def stateful(model, optimizer):
        optimizer.update(model, nnx.grad(lambda m: ((m(x) - y) ** 2).mean())(model))

    for _ in range(3):
        state = functional(state)
        stateful(model, optimizer)
    assert int(state.step) == 3
    _, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    for ours, theirs in ((state.params, params), (state.batch_stats, batch_stats)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs
        )


def test_apply_calls_methods_and_returns_the_model_after_the_call():
    state = make(optax.sgd(0.1))
    x = jnp.ones((2, 3))
    encoded, (graphdef, after) = state.apply("params", "batch_stats").encode(x)
    np.testing.assert_allclose(encoded, Model(nnx.Rngs(0)).linear(x), rtol=1e-6)
    assert isinstance(nnx.merge(graphdef, after), Model)
    kernel, _ = state.apply("params", "batch_stats").linear.kernel.get_value()
    assert kernel.shape == (3, 4)
    before = state.batch_stats.norm.mean.value
    state.apply("params", "batch_stats")(x)
    assert state.batch_stats.norm.mean.value is before
    with pytest.raises(TypeError, match="'step' is a"):
        state.apply("params", "step")
    with pytest.raises(ValueError, match=r"missing norm\.mean"):
        state.apply("params")(x)


@pytest.mark.parametrize("copy", ["bytes", "directory"])
def test_a_loaded_state_does_not_compile_anew(tmp_path, copy):
    state = make(optax.adam(1e-2))
    assert state.step.dtype == jnp.int32
    step = jax.jit(lambda state: state.apply_gradients(state.params))
    state = step(state)
    if copy == "bytes":
        loaded = nnx.from_bytes(state, nnx.to_bytes(state))
    else:
        nnx.save(tmp_path / "state", state)
        loaded = nnx.load(tmp_path / "state", make(optax.adam(1e-2)))
    loaded = loaded.replace(graphdef=state.graphdef, tx=state.tx)
    assert int(step(loaded).step) == 2
    assert step._cache_size() == 1


def test_bytes_and_replace():
    state = make(optax.adam(1e-2))
    restored = nnx.from_bytes(jax.tree.map(jnp.zeros_like, state), nnx.to_bytes(state))
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert restored.tx is state.tx
    assert int(state.replace(step=5).step) == 5
    assert int(make(optax.sgd(0.1)).step) == 0
