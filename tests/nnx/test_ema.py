"""nnx.EMA."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx


class Model(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 2, rngs=rngs)
        self.again = self.linear
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.again(self.linear(x))))


def test_follows_as_the_formula_says():
    model = Model(nnx.Rngs(0))
    ema = nnx.EMA(model, 0.9, only=nnx.Param)
    expected = np.asarray(model.linear.kernel.value, np.float64)
    averaged = ema.apply_to(model)
    assert averaged.linear.kernel is ema.params.linear.kernel
    assert averaged.again is averaged.linear
    random = np.random.default_rng(0)
    for _ in range(20):
        new = random.normal(size=(2, 2))
        model.linear.kernel.value = jnp.asarray(new, jnp.float32)
        expected = 0.9 * expected + 0.1 * new
        ema.update(model)
    np.testing.assert_allclose(averaged.linear.kernel.value, expected, rtol=1e-5)
    assert averaged.norm.mean is not model.norm.mean
    assert averaged.linear.kernel is not model.linear.kernel


def test_inside_a_compiled_step():
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    ema = nnx.EMA(model, 0.5)
    averaged = ema.apply_to(model)
    x = jnp.ones((4, 2))

    @nnx.jit
    def step(model, optimizer, ema):
        optimizer.update(
            model, nnx.grad(lambda m: (m(x) ** 2).sum(), argnums=nnx.DiffState(0, nnx.Param))(model)
        )
        ema.update(model)

    start = np.asarray(model.norm.scale.value)
    step(model, optimizer, ema)
    np.testing.assert_allclose(
        averaged.norm.scale.value, (start + model.norm.scale.value) / 2, rtol=1e-6
    )
    assert averaged.dropout.rngs.count.value == model.dropout.rngs.count.value == 1
    nnx.jit(lambda m: m(x))(averaged)


def test_takes_a_state_and_keeps_dtypes():
    state = nnx.State({"w": nnx.Param(jnp.ones(2, jnp.bfloat16)), "n": nnx.Variable(jnp.array(3))})
    ema = nnx.EMA(state, 0.5)
    ema.update(nnx.State({"w": nnx.Param(jnp.full(2, 3.0)), "n": nnx.Variable(jnp.array(7))}))
    assert ema.params.w.value.dtype == jnp.bfloat16
    assert ema.params.w.value.tolist() == [2.0, 2.0]
    assert ema.params.n.value == 7
    assert state.w.value.tolist() == [1.0, 1.0]


def test_of_keys_the_newest_is_taken():
    model = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    ema = nnx.EMA(model, 0.9)
    averaged = ema.apply_to(model)
    model.rngs.key.value = jax.random.key(7)
    model.rngs.count.value = jnp.array(3, jnp.uint32)
    ema.update(model)
    assert averaged.rngs.key.value == jax.random.key(7)
    assert averaged.rngs.count.value == 3
    for variable in ("key", "count"):  # either may be donated without the other
        getattr(model.rngs, variable).value.delete()
    assert averaged.rngs.key.value == jax.random.key(7)
    assert averaged.rngs.count.value == 3


def test_values_that_are_trees():
    def tree(x):
        return {"w": jnp.full(2, x), "rest": (jnp.array(int(x)), jax.random.key(int(x)))}

    class Model(nnx.Module):
        def __init__(self):
            self.cache = nnx.Variable(tree(1.0))

    model = Model()
    ema = nnx.EMA(model, 0.5)
    model.cache.value = tree(3.0)
    nnx.jit(lambda ema, model: ema.update(model))(ema, model)
    average = ema.params.cache.value
    assert average["w"].tolist() == [2.0, 2.0]
    assert average["rest"][0] == 3
    assert average["rest"][1] == jax.random.key(3)
    model.cache.value = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"^cache holds .*, and in the EMA "):
        ema.update(model)


def test_misuse_is_named():
    class Holder(nnx.Module):
        def __init__(self):
            self.table = jnp.ones(2)

    with pytest.raises(TypeError, match="table is a"):
        nnx.EMA(Holder(), 0.9)
    ema = nnx.EMA(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), 0.9)
    with pytest.raises(ValueError, match="bias is not in the updates"):
        ema.update(nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0)))


def test_saved_and_loaded(tmp_path):
    ema = nnx.EMA(Model(nnx.Rngs(0)), 0.9)
    nnx.save(tmp_path / "ema", ema)
    again = nnx.load(tmp_path / "ema", lambda: nnx.EMA(Model(nnx.Rngs(1)), 0.9))
    np.testing.assert_array_equal(again.params.linear.kernel.value, ema.params.linear.kernel.value)
