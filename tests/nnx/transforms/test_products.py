"""nnx.vjp, jvp and remat against jax's on plain arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def f(model, x):
    return jnp.tanh(model(x)) * x.sum()


def setup():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    x = jnp.array([[0.3, -0.4]])
    return model, x, lambda k, b, x: jnp.tanh(x @ k + b) * x.sum()


def test_vjp_of_a_module_and_an_array():
    model, x, plain = setup()
    out, pull = nnx.vjp(f, model, x)
    want, want_pull = jax.vjp(plain, model.kernel.value, model.bias.value, x)
    np.testing.assert_allclose(out, want, rtol=1e-6)
    cotangent = jnp.arange(3.0)[None]
    grads, x_bar = pull(cotangent)
    for got, wanted in zip(
        (grads["kernel"].value, grads["bias"].value, x_bar), want_pull(cotangent)
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert isinstance(grads["kernel"], nnx.Param)


def test_jvp_in_the_direction_of_a_module_or_a_state():
    model, x, plain = setup()
    direction = jax.tree.map(jnp.ones_like, model)
    want, want_dot = jax.jvp(
        plain, (model.kernel.value, model.bias.value, x), (jnp.ones((2, 3)), jnp.ones(3), x)
    )
    for tangent in (direction, nnx.state(direction)):
        out, dot = nnx.jvp(f, (model, x), (tangent, x))
        np.testing.assert_allclose(out, want, rtol=1e-6)
        np.testing.assert_allclose(dot, want_dot, rtol=1e-5)


def test_writes_come_out_and_aux_is_handed_on():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (8, 2))

    def g(norm, x):
        return norm(x), "aux"

    out, pull, aux = nnx.vjp(g, norm, x, has_aux=True)
    assert aux == "aux"
    assert float(jnp.abs(norm.mean.value).sum()) > 0
    pull(jnp.ones_like(out))
    before = norm.mean.value
    *_, aux = nnx.jvp(g, (norm, x), (jax.tree.map(jnp.zeros_like, norm), x), has_aux=True)
    assert aux == "aux"
    assert not np.array_equal(before, norm.mean.value)


def test_counters_and_keys_are_no_directions():
    drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    out, pull = nnx.vjp(lambda d, x: d(x), drop, jnp.ones(4))
    grads, x_bar = pull(jnp.ones(4))
    assert len(nnx.to_flat_state(grads)) == 0
    np.testing.assert_array_equal(x_bar, np.asarray(out))


def test_decorator_forms():
    model, x, _ = setup()
    assert nnx.vjp()(f)(model, x)[0].shape == nnx.vjp(f)(model, x)[0].shape == (1, 3)
    direction = jax.tree.map(jnp.zeros_like, model)
    assert nnx.jvp()(f)((model, x), (direction, x))[0].shape == (1, 3)


def test_wrong_use_is_named():
    v = nnx.Param(jnp.ones(2))
    with pytest.raises(ValueError, match="shared by argument 0 and argument 1"):
        nnx.vjp(lambda a, b: a.value, v, v)
    with pytest.raises(ValueError, match="reduce_axes"):
        nnx.vjp(lambda a: a.value, v, reduce_axes=("i",))
    with pytest.raises(TypeError, match="State or a module of values"):
        nnx.jvp(lambda a: a.value, (v,), (1.0,))


def test_remat_gives_the_same_numbers_and_writes_once():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(4, 4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.calls = nnx.Variable(jnp.array(0))

        def __call__(self, x, scale=1.0):
            self.calls.value += 1
            return jnp.sin(self.dropout(self.linear(x))) * scale

    x = jnp.ones((2, 4))
    a, b = Net(nnx.Rngs(0)), Net(nnx.Rngs(0))
    got = nnx.grad(lambda m: nnx.remat(m)(x).sum())(a)
    want = nnx.grad(lambda m: m(x).sum())(b)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-6), got, want)
    assert int(a.calls.value) == int(b.calls.value) == 1
    assert int(a.dropout.rngs.count.value) == 1

    @nnx.remat(static_argnums=1)
    def power(v, n):
        return v.value ** (2 if n == "two" else 3)

    assert float(nnx.grad(power)(nnx.Param(jnp.array(3.0)), "two").value) == 6.0


def test_remat_policy_saves_less():
    model = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    x = jnp.ones((2, 4))

    def residuals(f):
        _, pull = jax.vjp(lambda k: f(nnx.merge(graphdef, k)), state)
        return len(jax.tree.leaves(pull))

    graphdef, state = nnx.split(model)
    body = lambda m: jnp.sin(jnp.sin(jnp.sin(m(x)))).sum()  # noqa: E731
    assert residuals(nnx.remat(body)) < residuals(body)


def test_make_jaxpr_and_checkify_leave_or_carry_effects():
    from jax.experimental import checkify

    v = nnx.Param(jnp.array(1.0))

    def f(v, n):
        v.value = v.value * n
        checkify.check(v.value < 4, "too big: {v}", v=v.value)
        return v.value

    jaxpr = nnx.make_jaxpr(lambda v, n: v.value * n, static_argnums=1)(v, 2)
    assert [e.primitive.name for e in jaxpr.eqns] == ["mul"]
    error, out = nnx.checkify(f)(v, 2.0)
    assert error.get() is None
    assert float(out) == float(v.value) == 2.0
    error, _ = nnx.checkify(nnx.jit(f))(v, 2.0)
    assert "too big: 4.0" in error.get()


def test_array_attributes_are_no_directions():
    class Scaled(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.ones(2))
            self.scale = jnp.array(2.0)

    out, pull = nnx.vjp(lambda a, x: (a.w.value * a.scale * x).sum(), Scaled(), 3.0)
    grads, x_bar = pull(1.0)
    assert grads["w"].value.tolist() == [6.0, 6.0]
    assert (float(out), float(x_bar)) == (12.0, 4.0)


def test_objects_have_no_derivative():
    with pytest.raises(TypeError, match="returns an object"):
        nnx.vjp(lambda v: (v, v.value), nnx.Param(jnp.ones(2)))


@pytest.mark.parametrize("static", [-1, 1, (1, 5)])
def test_static_arguments_of_make_jaxpr(static):
    f = nnx.make_jaxpr(lambda x, flag, z=1: x * 2 if flag else x, static_argnums=static)
    assert len(f(1.0, True).eqns) == 1
    assert len(f(1.0, False).eqns) == 0
