"""What nnx.jit carries out: objects, structural changes, and how long objects live."""

import dataclasses
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Block(nnx.Module):
    def __init__(self, features, *, rngs):
        self.linear = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.BatchNorm(features, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(nnx.relu(self.norm(self.linear(x))))


class Counter(nnx.Module):
    def __init__(self):
        self.value = nnx.Variable(jnp.zeros(()))
        self.calls = 0


def test_an_exception_leaves_the_objects_as_they_were():
    @nnx.jit
    def fail(counter):
        counter.value.value += 1
        counter.calls = 5
        counter.new = nnx.Param(jnp.ones(1))
        raise KeyError("wrong")

    counter = Counter()
    with pytest.raises(KeyError):
        fail(counter)
    assert counter.value.value == 0.0
    assert counter.calls == 0
    assert not hasattr(counter, "new")


def test_structural_changes_are_replayed_on_the_callers_objects():
    @nnx.jit
    def grow(counter):
        counter.calls += 1
        counter.items = [nnx.Param(jnp.ones(2)), counter.value]
        counter.me = counter
        counter.value.value += 1
        counter.value.note = "seen"

    counter = Counter()
    held = counter.value
    grow(counter)
    grow(counter)
    assert counter.calls == 2
    assert counter.items[1] is counter.value is held
    assert counter.me is counter
    assert counter.value.value == 2.0
    assert counter.value.note == "seen"


def test_objects_are_returned_as_the_callers_own_or_new():
    @nnx.jit
    def pick(counter):
        return counter.value, {"new": nnx.Linear(2, 2, rngs=nnx.Rngs(0)), "same": counter}

    counter = Counter()
    value, rest = pick(counter)
    assert value is counter.value
    assert rest["same"] is counter
    assert isinstance(rest["new"].kernel.value, jax.Array)


def test_array_attributes_are_values():
    class Hidden(nnx.Module):
        def __init__(self):
            self.h = jnp.zeros(2)

    @nnx.jit
    def step(m):
        m.h = m.h + 1

    m = Hidden()
    for _ in range(3):
        step(m)
    assert m.h.tolist() == [3.0, 3.0]
    assert step._cache_size() == 1


def test_the_same_object_in_two_arguments_stays_one():
    @nnx.jit
    def step(a, b, *, c):
        assert a is b is c["x"]
        a.value.value += 1

    counter = Counter()
    step(counter, counter, c={"x": counter})
    assert counter.value.value == 1.0


def test_frozen_holds_inside_compiled_functions():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    run = nnx.jit(lambda norm, x: norm(x))
    x = jnp.ones((4, 2))
    run(norm, x)
    with nnx.frozen(norm, nnx.BatchStat), pytest.raises(nnx.FrozenError, match="mean"):
        run(norm, x)
    run(norm, x)


def test_a_module_made_in_jit_equals_one_made_outside():
    make = lambda: Block(3, rngs=nnx.Rngs(0))  # noqa: E731
    inside, outside = nnx.jit(make)(), make()
    assert nnx.graphdef(inside) == nnx.graphdef(outside)
    np.testing.assert_allclose(inside.linear.kernel.value, outside.linear.kernel.value, rtol=1e-6)


def test_what_was_taken_out_of_the_graph_has_its_last_values():
    @nnx.jit
    def drop(outer):
        outer.inner.value.value += 1
        del outer.inner

    outer = nnx.Module()
    outer.inner = held = Counter()
    drop(outer)
    assert not hasattr(outer, "inner")
    assert held.value.value == 1.0


def test_a_replayed_object_keeps_its_own_static_values():
    @dataclasses.dataclass
    class Options:
        rate: float = 1.0

    @nnx.jit
    def grow(counter):
        counter.new = nnx.Param(jnp.ones(1))

    for _ in range(2):
        counter = Counter()
        counter.options = options = Options()
        grow(counter)
        assert counter.options is options


def test_objects_that_died_are_not_kept_by_those_they_were_passed_with():
    add = nnx.jit(lambda a, b: a.value.value + b.value.value)
    kept, counter = Counter(), Counter()
    counter.owner = nnx.List([counter])  # a cycle, for the garbage collector
    add(kept, Counter())
    add(counter, kept)
    assert not kept._joint
    dead = weakref.ref(counter)
    del counter
    gc.collect()
    assert dead() is None


def test_a_set_that_was_changed_in_place_is_noticed_by_the_check_mode():
    counter = Counter()
    counter.names = {"a"}
    run = nnx.jit(lambda c: c.value.value * len(c.names))
    run(counter)
    counter.names.add("b")
    with pytest.raises(nnx.StructureError, match="names changed without an attribute write"):
        run(counter)


def test_sown_sums_keep_their_variable():
    class Sums(nnx.Module):
        def __call__(self, x):
            self.sow(
                nnx.Intermediate, "sum", x, lambda past, new: past + new, lambda: jnp.zeros(())
            )

    model = Sums()
    run = nnx.jit(lambda model, x: model(x))
    run(model, jnp.ones(()))
    held = model.sum
    for _ in range(3):
        run(model, jnp.ones(()))
    assert model.sum is held
    assert held.value == 4.0
    assert run._cache_size() == 2
