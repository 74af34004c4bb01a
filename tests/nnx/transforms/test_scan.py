"""nnx.scan against Python loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Block(nnx.Module):
    def __init__(self, features, *, rngs):
        self.linear = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.BatchNorm(features, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)

    def __call__(self, x):
        return jnp.tanh(self.dropout(self.norm(self.linear(x))))


def stack(n=3, features=4):
    keys = jax.random.split(jax.random.key(0), n)

    def make(key):
        return Block(features, rngs=nnx.Rngs(key))

    return nnx.vmap(make)(keys), [make(key) for key in keys]


X = jax.random.normal(jax.random.key(5), (6, 4))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("remat", [False, True])
def test_stacked_layers_equal_a_loop_over_layers(reverse, remat):
    stacked, singles = stack()
    step = nnx.remat(lambda x, layer: layer(x)) if remat else lambda x, layer: layer(x)
    y = nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry, reverse=reverse)(X, stacked)
    want = X
    for layer in reversed(singles) if reverse else singles:
        want = layer(want)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    for i, layer in enumerate(singles):
        np.testing.assert_allclose(stacked.norm.var.value[i], layer.norm.var.value, rtol=1e-5)
        assert int(stacked.dropout.rngs.count.value[i]) == int(layer.dropout.rngs.count.value)


def test_a_carried_model_is_written_step_by_step():
    model, same = Block(4, rngs=nnx.Rngs(0)), Block(4, rngs=nnx.Rngs(0))
    xs = jnp.stack([X, X + 1, X * 2])

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def run(model, x):
        return model, model(x)

    out, ys = run(model, xs)
    assert out is model
    for y, x in zip(ys, xs):
        np.testing.assert_allclose(y, same(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.norm.mean.value, same.norm.mean.value, rtol=1e-5, atol=1e-6)
    assert int(model.dropout.rngs.count.value) == 3


def test_parts_of_an_object_carried_sliced_and_the_same():
    class Layer(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.arange(1.0, 4.0))
            self.scale = nnx.Cache(jnp.array(2.0))
            self.calls = nnx.BatchStat(jnp.array(0))

        def __call__(self, x):
            self.calls.value += 1
            return x * self.w.value * self.scale.value

    axes = nnx.StateAxes({nnx.Param: 0, nnx.BatchStat: nnx.Carry, ...: None})
    layer = Layer()
    y = nnx.scan(lambda x, m: m(x), in_axes=(nnx.Carry, axes), out_axes=nnx.Carry)(1.0, layer)
    assert float(y) == 6.0 * 8.0
    assert int(layer.calls.value) == 3


def test_train_steps_in_one_scan_equal_single_steps():
    import optax

    def make():
        model = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)

    def step(carry, x):
        model, optimizer = carry
        loss, grads = nnx.value_and_grad(lambda m: (m(x) ** 2).mean())(model)
        optimizer.update(model, grads)
        return (model, optimizer), loss

    xs = jax.random.normal(jax.random.key(0), (5, 8, 4))
    model, optimizer = make()
    _, losses = nnx.jit(nnx.scan(step))((model, optimizer), xs)
    other = make()
    want = [step(other, x)[1] for x in xs]
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    np.testing.assert_allclose(model.kernel.value, other[0].kernel.value, rtol=1e-5)
    assert int(optimizer.step.value) == 5


def test_sown_values_are_stacked():
    class Sower(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.arange(3.0))

        def __call__(self, x):
            self.sow(nnx.Intermediate, "h", x)
            return x + self.w.value

    model = Sower()
    nnx.scan(lambda x, m: m(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(1.0, model)
    np.testing.assert_array_equal(nnx.pop(model, nnx.Intermediate)["h"].value[0], [1.0, 1.0, 2.0])


def test_objects_made_in_steps_come_out_stacked():
    def step(key):
        return nnx.Linear(2, 3, rngs=nnx.Rngs(key))

    keys = jax.random.split(jax.random.key(0), 4)
    stacked = nnx.scan(step, in_axes=0, out_axes=0)(keys)
    for i, key in enumerate(keys):
        np.testing.assert_array_equal(stacked.kernel.value[i], step(key).kernel.value)


def test_without_carry_with_length_and_axes():
    def step(x, y):
        return x + y

    got = nnx.scan(step, in_axes=(1, None), out_axes=1)(jnp.arange(6.0).reshape(2, 3), 10)
    np.testing.assert_array_equal(got, np.arange(6.0).reshape(2, 3) + 10)

    counter = nnx.Variable(jnp.array(0))

    def count(counter):
        counter.value += 2
        return counter

    nnx.scan(count, length=5, in_axes=nnx.Carry, out_axes=nnx.Carry)(counter)
    assert int(counter.value) == 10


def test_gradients_through_the_loop():
    stacked, singles = stack()
    stacked.eval()
    run = nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    grads = nnx.grad(lambda m: (run(X, m) ** 2).sum())(stacked)

    def loop(layers):
        x = X
        for layer in layers:
            layer.eval()
            x = layer(x)
        return (x**2).sum()

    want = nnx.grad(loop)(nnx.List(singles))
    for i in range(3):
        jax.tree.map(
            lambda g, w, i=i: np.testing.assert_allclose(g[i], w, rtol=1e-4, atol=1e-5),
            grads,
            want[i],
        )


def test_a_big_model_that_is_only_read_stays_out_of_the_loop_state():
    model = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    counter = nnx.Variable(jnp.array(0))

    def step(carry, x):
        model, counter = carry
        counter.value += 1
        return carry, model(x)

    jaxpr = nnx.make_jaxpr(nnx.scan(step))((model, counter), jnp.ones((3, 2, 4)))
    (loop,) = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    assert loop.params["num_carry"] == 1
    assert loop.params["num_consts"] == 2


def test_a_weakly_typed_carry_takes_the_dtype_of_the_body():
    total = nnx.scan(lambda c, x: c + x, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    out = total(0.0, jnp.ones(3, jnp.bfloat16))
    assert (float(out), out.dtype) == (3.0, jnp.bfloat16)


def test_arrays_that_are_attributes_are_carried():
    class Sum(nnx.Module):
        def __init__(self):
            self.total = jnp.zeros(2)

    model = Sum()

    def step(model, x):
        model.total = model.total + x
        return model

    nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(model, jnp.ones((3, 2)))
    np.testing.assert_array_equal(model.total, [3.0, 3.0])


def test_wrong_use_names_the_path_and_the_fix():
    model = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    xs = jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"rngs\.count has axis None .*split_rngs"):
        nnx.scan(lambda m, x: m(x), in_axes=(None, 0), out_axes=0)(model, xs)
    with pytest.raises(ValueError, match="one of in_axes and out_axes only"):
        nnx.scan(lambda x: x, in_axes=nnx.Carry, out_axes=0)
    with pytest.raises(ValueError, match="may stand once"):
        nnx.scan(lambda x: x, in_axes=(nnx.Carry, nnx.Carry), out_axes=nnx.Carry)
    with pytest.raises(ValueError, match="lengths \\[2, 3\\]"):
        nnx.scan(lambda a, b: a, in_axes=(0, 0), out_axes=0)(xs, xs.T)
    with pytest.raises(ValueError, match="length="):
        nnx.scan(lambda c: c, in_axes=nnx.Carry, out_axes=nnx.Carry)(1.0)
    with pytest.raises(
        TypeError, match=r"the carry goes in as float32\[2\] and comes out as float32\[3\]"
    ):
        nnx.scan(lambda c, x: jnp.ones(3), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(
            jnp.ones(2), xs
        )

    class Counter(nnx.Module):
        def __init__(self):
            self.count = 0
            self.value = nnx.Variable(jnp.zeros(()))

    def bump(counter):
        counter.count += 1
        return counter

    with pytest.raises(nnx.StructureError, match=r"count is another static value.*Variable"):
        nnx.scan(bump, length=3, in_axes=nnx.Carry, out_axes=nnx.Carry)(Counter())

    def sow(counter):
        counter.sow(nnx.Intermediate, "h", counter.value.value)
        return counter

    with pytest.raises(nnx.StructureError, match="new Variable h"):
        nnx.scan(sow, length=3, in_axes=nnx.Carry, out_axes=nnx.Carry)(Counter())

    def widen(counter):
        counter.value.value = jnp.zeros(2)
        return counter

    with pytest.raises(
        TypeError, match=r"value goes in as float32\[\] and is written as float32\[2\]"
    ):
        nnx.scan(widen, length=3, in_axes=nnx.Carry, out_axes=nnx.Carry)(Counter())

    with pytest.raises(nnx.StructureError, match="must be the same object"):
        nnx.scan(lambda c: Counter(), length=3, in_axes=nnx.Carry, out_axes=nnx.Carry)(Counter())


@pytest.mark.parametrize("axis", [0, 1])
def test_no_steps_at_all(axis):
    xs = jnp.zeros((2, 2)).at[:].get()[:0] if axis == 0 else jnp.zeros((2, 0))
    carry, ys = nnx.scan(
        lambda c, x: (c + x.sum(), 2 * x), in_axes=(nnx.Carry, axis), out_axes=(nnx.Carry, axis)
    )(1.0, xs)
    assert (float(carry), ys.shape) == (1.0, xs.shape)
