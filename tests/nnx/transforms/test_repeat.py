"""The shortcut for the same call again must never be taken for another call."""

import gc

import jax.numpy as jnp
import pytest

from nnxtrain import nnx


class Counter(nnx.Module):
    def __init__(self, start):
        self.count = nnx.Variable(jnp.asarray(start))


@nnx.jit
def add(counter, other):
    counter.count.value += 1
    return counter.count.value


def test_objects_that_come_and_go():
    for start in range(50):  # most of these stand where the one before stood
        counter = Counter(start)
        assert int(add(counter, 0)) == start + 1
        assert int(add(counter, 0)) == start + 2
        del counter
        gc.collect()


def test_another_object_beside_the_same_first_one():
    first = Counter(0)

    @nnx.jit
    def both(a, b):
        a.count.value += b.count.value
        return a.count.value

    expected = 0
    for start in range(50):
        second = Counter(start)
        for _ in range(3):
            expected += start
            assert int(both(first, second)) == expected
        del second


@pytest.mark.parametrize("hold", [lambda x: [x], lambda x: {"a": x}, lambda x: ((x,),)])
def test_objects_in_a_container_of_the_same_type(hold):
    counter, one, two = Counter(0), Counter(10), Counter(20)

    @nnx.jit
    def read(counter, held):
        counter.count.value += 1
        (inner,) = held.values() if isinstance(held, dict) else held
        (inner,) = inner if isinstance(inner, tuple) else (inner,)
        return inner if not isinstance(inner, Counter) else inner.count.value

    for _ in range(2):
        assert int(read(counter, hold(one))) == 10
        assert int(read(counter, hold(two))) == 20
        assert int(read(counter, hold(jnp.asarray(5)))) == 5
    assert int(counter.count.value) == 6


def test_a_write_between_the_calls_is_seen():
    counter = Counter(0)
    for value in (3, 7, 11):
        add(counter, 0)
        counter.count.value = jnp.asarray(value)
        assert int(add(counter, 0)) == value + 1


def test_other_shapes_write_other_variables():
    class Two(nnx.Module):
        def __init__(self):
            self.a, self.b = nnx.Variable(jnp.zeros(())), nnx.Variable(jnp.zeros(()))

    @nnx.jit
    def step(model, x):
        variable = model.a if x.ndim == 0 else model.b
        variable.value += 1

    model = Two()
    for _ in range(3):
        step(model, jnp.zeros(()))
        step(model, jnp.zeros(2))
        step(model, jnp.zeros(2))
    assert (float(model.a.value), float(model.b.value)) == (3.0, 6.0)


@pytest.mark.parametrize("donate", [False, True])
def test_a_batch_in_a_dict_is_the_same_call_again(donate, monkeypatch):
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))

    @nnx.jit(donate=donate)
    def step(model, batch):
        model.bias.value += batch["x"].sum()

    batch = {"x": jnp.ones(2), "y": 1}
    step(model, batch)
    monkeypatch.setattr(step, "_prepare", None)  # the longer way
    step(model, batch)
    assert model.bias.value.tolist() == [4.0, 4.0]
