"""Donation by nnx.jit: only what a call writes, never what something else still needs."""

import jax.numpy as jnp
import numpy as np

from nnxtrain import nnx


class Counter(nnx.Module):
    def __init__(self):
        self.value = nnx.Variable(jnp.zeros(()))
        self.calls = 0


def test_donation_takes_only_what_is_written():
    @nnx.jit(donate=True)
    def step(counter, frozen):
        counter.value.value += frozen.kernel.value.sum()

    counter, frozen = Counter(), nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    before = counter.value.value
    step(counter, frozen)
    assert before.is_deleted()
    assert not frozen.kernel.value.is_deleted()
    step(counter, frozen)


def test_donation_spares_an_array_that_two_variables_share():
    class Pair(nnx.Module):
        def __init__(self):
            array = jnp.ones(3)
            self.a = nnx.Param(array)
            self.b = nnx.Param(array)
            self.c = nnx.Param(jnp.zeros(3))

    @nnx.jit(donate=True)
    def step(pair):
        pair.a.value += 1
        pair.c.value += pair.b.value

    pair = Pair()
    for _ in range(3):
        step(pair)
    assert pair.a.value.tolist() == [4.0] * 3
    assert pair.b.value.tolist() == [1.0] * 3
    assert pair.c.value.tolist() == [3.0] * 3


def test_what_was_donated_comes_back_even_if_another_trace_does_not_write_it():
    @nnx.jit(donate=True)
    def step(counter, x):
        if x.shape == (1,):
            counter.value.value += 1
        return x

    counter = Counter()
    step(counter, jnp.ones(1))
    step(counter, jnp.ones(2))
    assert counter.value.value == 1.0


def test_donate_argnums_means_the_objects_of_that_argument():
    @nnx.jit(donate_argnums=0)
    def step(a, b):
        a.value.value += 1
        b.value.value += 1

    a, b = Counter(), Counter()
    old_a, old_b = a.value.value, b.value.value
    step(a, b)
    assert old_a.is_deleted()
    assert not old_b.is_deleted()


def test_donation_spares_an_array_that_is_another_argument():
    @nnx.jit(donate=True)
    def step(counter, state):
        counter.value.value += state["value"].value + 1

    counter = Counter()
    for _ in range(2):
        step(counter, nnx.state(counter))
    assert counter.value.value == 3.0


def test_arrays_inside_pytree_values_are_looked_at():
    x = jnp.ones(3)
    a, b = nnx.Variable((x,)), nnx.Variable((x,))

    @nnx.jit(donate=True)
    def write(a, b, x):
        a.value = (a.value[0] + x,)
        b.value = (b.value[0] + 1,)

    write(a, b, x)
    np.testing.assert_array_equal(a.value[0], [2.0] * 3)
    np.testing.assert_array_equal(b.value[0], [2.0] * 3)
    np.testing.assert_array_equal(x, [1.0] * 3)
