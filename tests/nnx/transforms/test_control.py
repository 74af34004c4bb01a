"""nnx.cond, switch, while_loop and fori_loop against Python's if and loops."""

import gc
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Two(nnx.Module):
    def __init__(self):
        self.a = nnx.Param(jnp.zeros(()))
        self.b = nnx.BatchStat(jnp.zeros(()))


def write_a(m, x):
    m.a.value += x
    return x * 2


def write_b(m, x):
    m.b.value += x
    return x * 3


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("pred", [True, False])
def test_branches_may_write_different_variables(compiled, pred):
    def run(m, pred, x):
        return nnx.cond(pred, write_a, write_b, m, x)

    m = Two()
    out = (nnx.jit(run) if compiled else run)(m, pred, 5.0)
    assert float(out) == (10.0 if pred else 15.0)
    assert (float(m.a.value), float(m.b.value)) == ((5.0, 0.0) if pred else (0.0, 5.0))


def test_switch_clamps_and_takes_any_number_of_branches():
    m = Two()
    branches = [write_a, write_b, lambda m, x: x]
    for index, want in [(0, (1.0, 0.0)), (1, (1.0, 1.0)), (7, (1.0, 1.0))]:
        nnx.switch(index, branches, m, 1.0)
        assert (float(m.a.value), float(m.b.value)) == want


def test_bound_methods_in_branches_share_their_object():
    class Counter(nnx.Module):
        def __init__(self):
            self.n = nnx.Variable(jnp.array(0))

        def up(self):
            self.n.value += 1

        def down(self):
            self.n.value -= 1

    c = Counter()
    nnx.jit(lambda c, p: nnx.cond(p, c.up, c.down))(c, False)
    assert int(c.n.value) == -1


def test_both_branches_may_make_the_same_new_attribute():
    def sow(k):
        return lambda m, x: m.sow(nnx.Intermediate, "h", x * k)

    m = Two()
    nnx.cond(False, sow(1.0), sow(2.0), m, 3.0)
    assert float(nnx.pop(m, nnx.Intermediate)["h"].value[0]) == 6.0


def test_a_returned_object_is_the_callers_own_or_new():
    m = Two()
    out = nnx.cond(True, lambda m: m, lambda m: m, m)
    assert out is m
    made = nnx.cond(False, lambda: nnx.Param(jnp.ones(())), lambda: nnx.Param(jnp.zeros(())))
    assert isinstance(made, nnx.Param)
    assert float(made.value) == 0.0


def test_gradients_and_random_streams_through_cond():
    drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    v = nnx.Param(jnp.ones(8))

    def loss(v, drop, pred):
        return nnx.cond(pred, lambda v, d: d(v.value).sum(), lambda v, d: v.value.sum(), v, drop)

    grads = nnx.grad(loss)(v, drop, True)
    assert set(np.unique(np.asarray(grads.value))) <= {0.0, 2.0}
    assert int(drop.rngs.count.value) == 1
    nnx.grad(loss)(v, drop, False)
    assert int(drop.rngs.count.value) == 1


def test_branches_that_disagree_name_the_place():
    m = Two()
    with pytest.raises(
        nnx.StructureError, match=r"leave different structures \(h: Intermediate -> absent\)"
    ):
        nnx.cond(True, lambda m: m.sow(nnx.Intermediate, "h", 1.0), lambda m: True, m)
    with pytest.raises(
        TypeError, match=r"result is float32\[2\] from true_fun and float32\[3\] from false_fun"
    ):
        nnx.cond(True, lambda: jnp.ones(2), lambda: jnp.ones(3))
    with pytest.raises(nnx.StructureError, match="return the same structure"):
        nnx.cond(True, lambda: 1.0, lambda: (1.0, 2.0))

    def widen(m):
        m.a.value = jnp.ones(2)

    with pytest.raises(
        TypeError, match=r"a is float32\[2\] after true_fun and float32\[\] after false_fun"
    ):
        nnx.cond(True, widen, lambda m: None, m)
    with pytest.raises(ValueError, match="at least one branch"):
        nnx.switch(0, [])


def test_while_loop_runs_a_model_until_it_stops():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    calls = nnx.Variable(jnp.array(0))

    def body(val):
        model, calls, x = val
        calls.value += 1
        return model, calls, model(x)

    start = jnp.ones(2)
    out = nnx.while_loop(lambda val: val[1].value < 4, body, (model, calls, start))
    want = start
    for _ in range(4):
        want = model(want)
    assert out[0] is model
    assert out[1] is calls
    assert int(calls.value) == 4
    np.testing.assert_allclose(out[2], want, rtol=1e-5)


def test_while_condition_must_not_write():
    v = nnx.Variable(jnp.array(0))

    def write(v):
        v.value += 1
        return v.value < 3

    with pytest.raises(ValueError, match="cond_fun writes"):
        nnx.while_loop(write, lambda v: v, v)


@pytest.mark.parametrize("traced", [False, True])
def test_fori_loop_writes_and_counts(traced):
    def body(i, val):
        m, x = val
        m.kernel.value = jnp.identity(4) * i
        return m, m(x)

    def run(m, x, upper):
        return nnx.fori_loop(2, upper, body, (m, x))[1]

    m = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    x = jnp.arange(4.0)
    y = nnx.jit(run)(m, x, 4) if traced else run(m, x, 4)
    np.testing.assert_array_equal(y, x * 2 * 3)
    np.testing.assert_array_equal(m.kernel.value, np.identity(4) * 3)


def test_fori_loop_with_static_bounds_has_a_gradient():
    v = nnx.Param(jnp.array(3.0))
    grad = nnx.grad(
        lambda v: nnx.fori_loop(0, 3, lambda i, val: (val[0], val[1] * val[0].value), (v, 1.0))[1]
    )(v)
    assert float(grad.value) == 27.0


def test_loops_inside_each_other_carry_writes():
    v = nnx.Variable(jnp.array(0))

    def inner(i, v):
        v.value += i
        return v

    def outer(i, v):
        return nnx.fori_loop(0, 3, inner, v)

    assert int(nnx.fori_loop(0, 4, outer, v).value) == 12
    assert int(v.value) == 12


def test_branch_functions_are_traced_once():
    traces = []

    def branch(m):
        traces.append(1)
        m.a.value += 1.0

    nnx.cond(True, branch, lambda m: None, Two())
    assert len(traces) == 1


def test_under_vmap_both_branches_are_selected_by_lane():
    def run(v, pred):
        nnx.cond(
            pred, lambda v: v.set_value(v.value + 1.0), lambda v: v.set_value(v.value - 1.0), v
        )
        return v.value

    v = nnx.Param(jnp.zeros(2))
    out = nnx.vmap(run)(v, jnp.array([True, False]))
    np.testing.assert_array_equal(out, [1.0, -1.0])
    np.testing.assert_array_equal(jax.device_get(v.value), [1.0, -1.0])


def test_what_the_condition_of_a_loop_is_bound_to():
    class Limit(nnx.Module):
        def __init__(self):
            self.n = nnx.Variable(jnp.array(4))

        def __call__(self, v):
            return v < self.n.value

    limit = Limit()
    assert int(nnx.while_loop(partial(lambda n, v: v < n, 5), lambda v: v + 1, 0)) == 5
    assert int(nnx.while_loop(limit, lambda v: v + 1, 0)) == 4
    assert int(nnx.while_loop(limit.__call__, lambda v: v + 1, 0)) == 4

    def lower(limit):
        limit.n.value -= 1
        return limit

    nnx.while_loop(lambda limit: limit(2), lower, limit)
    assert int(limit.n.value) == 2


def test_branches_leave_nothing_alive():
    m = Two()
    gone = weakref.ref(m)
    gc.collect()
    gc.disable()
    try:
        nnx.cond(True, write_a, write_b, m, 1.0)
        del m
        assert gone() is None
    finally:
        gc.enable()
