import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Two(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array(2.0))
        self.s = nnx.BatchStat(jnp.array(3.0))

    def __call__(self, x):
        self.s.value = self.s.value + 1
        return self.w.value * x + self.s.value


def test_gradients_are_those_of_jax():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (5, 3))
    loss, grads = nnx.value_and_grad(lambda m: jnp.mean(m(x) ** 2))(model)

    def pure(kernel, bias):
        return jnp.mean((x @ kernel + bias) ** 2)

    expected, (dk, db) = jax.value_and_grad(pure, argnums=(0, 1))(
        model.kernel.value, model.bias.value
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(grads["kernel"].value, dk, rtol=1e-5)
    np.testing.assert_allclose(grads["bias"].value, db, rtol=1e-5)
    assert isinstance(grads["kernel"], nnx.Param)


def test_writes_reach_the_caller():
    model = Two()
    grads = nnx.grad(lambda m: m(5.0))(model)
    assert list(grads) == ["w"]
    assert grads["w"].value == 5.0
    assert model.s.value == 4.0


def test_a_filter_chooses_what_to_differentiate():
    grads = nnx.grad(lambda m: m(5.0), argnums=nnx.DiffState(0, nnx.BatchStat))(Two())
    assert list(grads) == ["s"]
    assert grads["s"].value == 1.0


def test_several_arguments_of_both_kinds():
    model, other = Two(), nnx.Linear(1, 1, rngs=nnx.Rngs(0))

    def f(model, x, other):
        return model(x) * other.kernel.value[0, 0]

    _value, (gm, gx, go) = nnx.value_and_grad(f, argnums=(0, 1, 2))(model, 5.0, other)
    kernel = other.kernel.value[0, 0]
    np.testing.assert_allclose(gm["w"].value, 5.0 * kernel)
    np.testing.assert_allclose(gx, 2.0 * kernel)
    np.testing.assert_allclose(go["kernel"].value, [[2 * 5.0 + 4.0]])


def test_aux_may_hold_the_callers_objects():
    model = Two()
    _, aux = nnx.grad(lambda m: (m(1.0), {"model": m, "n": 1}), has_aux=True)(model)
    assert aux["model"] is model
    (_value, aux), _grads = nnx.value_and_grad(lambda m: (m(1.0), 7), has_aux=True)(model)
    assert aux == 7


def test_structure_may_change_inside():
    class Grows(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array(2.0))

        def __call__(self):
            self.sow(nnx.Intermediate, "seen", self.w.value * 2)
            return self.w.value**2

    model = Grows()
    grads = nnx.grad(lambda m: m())(model)
    assert grads["w"].value == 4.0
    assert model.seen.value == (4.0,)


def test_a_write_to_a_closed_over_variable_raises():
    model, other = Two(), Two()
    with pytest.raises(nnx.TraceError, match=r"other\.s"):
        nnx.grad(lambda m: m(1.0) + other(1.0))(model)


def test_decorators_and_methods():
    class Owner(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array(3.0))

        def loss(self):
            return self.w.value**2

    owner = Owner()
    assert nnx.grad(owner.loss)()["w"].value == 6.0

    @nnx.grad
    def f(owner):
        return owner.w.value * 5

    assert f(owner)["w"].value == 5.0


def test_a_variable_by_itself():
    assert nnx.grad(lambda v: v.value**2)(nnx.Param(jnp.array(3.0))).value == 6.0


def test_an_argument_number_out_of_range_is_named():
    with pytest.raises(TypeError, match="argument 3, but the call has 1"):
        nnx.grad(lambda m: m(1.0), argnums=3)(Two())


def test_argnums_count_the_arguments_of_the_call():
    model = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    scaled = functools.partial(lambda factor, m: factor * m.kernel.value.sum(), 3.0)
    assert nnx.grad(scaled)(model)["kernel"].value.tolist() == [[3.0]]
    assert nnx.grad(scaled, argnums=-1)(model)["kernel"].value.tolist() == [[3.0]]


def test_a_variable_cannot_be_differentiated_under_two_arguments():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="kernel twice: arguments 0 and 1 share it"):
        nnx.grad(lambda a, b: a.kernel.value.sum(), argnums=(0, 1))(model, model)
