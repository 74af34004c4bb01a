"""nnx.custom_vjp: the rule that is set is the rule that is used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Foo(nnx.Module):
    def __init__(self, x, y):
        self.x = nnx.Param(jnp.asarray(x))
        self.y = nnx.Param(jnp.asarray(y))
        self.calls = nnx.BatchStat(jnp.array(0.0))


def rule(factor=10.0, **options):
    """sin(x) * y, with a gradient that is ``factor`` times too big, so that it can be told from the true one."""

    @nnx.custom_vjp(**options)
    def f(m):
        m.calls.value += 1
        return jnp.sin(m.x) * m.y

    def fwd(m):
        return f(m), (jnp.cos(m.x), jnp.sin(m.x), m)

    def bwd(residuals, g):
        updates_g, out_g = g
        cos_x, sin_x, m = residuals
        (m_g,) = jax.tree.map(lambda x: x, updates_g)
        m_g["x"][...] = factor * cos_x * out_g * m.y
        m_g["y"][...] = factor * sin_x * out_g
        return (m_g,)

    f.defvjp(fwd, bwd)
    return f


@pytest.mark.parametrize("compiled", [False, True])
def test_the_rule_is_used_and_writes_come_out(compiled):
    f = rule()
    m = Foo(1.0, 2.0)
    take = nnx.jit(nnx.grad(f)) if compiled else nnx.grad(f)
    grads = take(m)
    np.testing.assert_allclose(grads["x"].value, 20 * np.cos(1.0), rtol=1e-6)
    np.testing.assert_allclose(grads["y"].value, 10 * np.sin(1.0), rtol=1e-6)
    assert float(m.calls.value) == 1.0
    np.testing.assert_allclose(f(m), np.sin(1.0) * 2.0, rtol=1e-6)
    assert float(m.calls.value) == 2.0


def test_without_graph_updates_bwd_gets_g_alone_and_may_ask_for_updates():
    seen = {}

    @nnx.custom_vjp(graph_updates=False)
    def f(m):
        m.calls.value = m.calls.value * 2.0 + m.x.value
        return jnp.sin(m.x) * m.y

    def bwd(residuals, g, *, updates_g):
        cos_x, sin_x, m = residuals
        seen["calls"] = updates_g[0]["calls"].value
        m_g = nnx.clone(m)
        m_g.x[...] = cos_x * g * m.y
        m_g.y[...] = sin_x * g
        m_g.calls[...] = 0.0
        return (m_g,)

    f.defvjp(lambda m: (f(m), (jnp.cos(m.x), jnp.sin(m.x), m)), bwd)
    m = Foo(1.0, 2.0)

    def loss(m):
        return f(m) + 3.0 * m.calls.value

    grads = nnx.grad(loss)(m)
    np.testing.assert_allclose(grads["x"].value, 2 * np.cos(1.0), rtol=1e-6)
    assert float(seen["calls"]) == 3.0


def test_some_variables_only():
    x_only = nnx.DiffState(0, nnx.PathContains("x"))
    f = nnx.custom_vjp(lambda m: jnp.sin(m.x) * m.y, nondiff_argnums=(x_only,))

    def bwd(residuals, g):
        (m_g,), out_g = g
        assert set(m_g) == {"x"}
        m_g["x"][...] = residuals * out_g
        return (m_g,)

    f.defvjp(lambda m: (f(m), jnp.cos(m.x) * m.y.value), bwd)
    grads = nnx.grad(f, argnums=x_only)(Foo(1.0, 2.0))
    np.testing.assert_allclose(grads["x"].value, 2 * np.cos(1.0), rtol=1e-6)


def test_arrays_beside_objects_and_static_arguments():
    @nnx.custom_vjp(nondiff_argnums=(0,))
    def f(kind, v, x):
        assert kind == "double"
        return 2 * v.value * x

    def bwd(kind, residuals, g):
        v, _ = residuals
        return v.replace(100.0 * g[1]), 7.0 * g[1]

    f.defvjp(lambda kind, v, x: (f(kind, v, x), (v, x)), bwd)
    v_g, x_g = nnx.grad(lambda v, x: f("double", v, x), argnums=(0, 1))(
        nnx.Param(jnp.array(3.0)), 4.0
    )
    assert (float(v_g.value), float(x_g)) == (100.0, 7.0)


def test_under_vmap_and_scan():
    f = rule()
    many = nnx.vmap(lambda x: Foo(x, x + 1.0))(jnp.arange(3.0))
    grads = nnx.grad(lambda m: nnx.vmap(f)(m).sum())(many)
    np.testing.assert_allclose(
        grads["x"].value, 10 * np.cos(np.arange(3.0)) * np.arange(1.0, 4.0), rtol=1e-5
    )
    np.testing.assert_array_equal(many.calls.value, np.ones(3))
    total = nnx.scan(lambda c, m: c + f(m), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    grads = nnx.grad(lambda m: total(0.0, m))(many)
    np.testing.assert_allclose(grads["y"].value, 10 * np.sin(np.arange(3.0)), rtol=1e-5, atol=1e-6)


def test_wrong_use_is_named():
    f = nnx.custom_vjp(lambda m: m.x.value)
    with pytest.raises(ValueError, match=r"call \.defvjp"):
        f(Foo(1.0, 2.0))
    with pytest.raises(ValueError, match="symbolic zeros"):
        f.defvjp(None, None, symbolic_zeros=True)
    with pytest.raises(ValueError, match="stands twice"):
        nnx.custom_vjp(lambda m: m, nondiff_argnums=(0, nnx.DiffState(0, ...)))
    f.defvjp(lambda m: (f(m), None), lambda r, g: ())
    with pytest.raises(TypeError, match="one cotangent for each of the 1 arguments"):
        nnx.grad(f)(Foo(1.0, 2.0))
    g = nnx.custom_vjp(lambda m: m)
    g.defvjp(None, None)
    with pytest.raises(nnx.StructureError, match="returns an object"):
        g(Foo(1.0, 2.0))


def test_none_is_a_zero_cotangent():
    f = nnx.custom_vjp(lambda v, n, k: v.value * n * k)
    f.defvjp(lambda v, n, k: (f(v, n, k), None), lambda residuals, g: (None, None, None))
    v_g, n_g = nnx.grad(f, argnums=(0, 1))(nnx.Param(jnp.array(3.0)), 4.0, 2)
    assert (float(v_g.value), float(n_g)) == (0.0, 0.0)


def test_a_traced_keyword_only_argument_is_named():
    f = nnx.custom_vjp(lambda v, *, x: v.value * x)
    f.defvjp(lambda v, *, x: (f(v, x=x), x), lambda x, g: (g[1],))
    with pytest.raises(TypeError, match="x is keyword-only and traced"):
        jax.grad(lambda x: f(nnx.Param(jnp.array(3.0)), x=x))(1.0)
