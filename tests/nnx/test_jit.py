import gc
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
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


def counting(function):
    """Wrap a function so that ``calls`` counts how often it was traced."""

    def traced(*args, **kwargs):
        traced.calls += 1
        return function(*args, **kwargs)

    traced.calls = 0
    return traced


def train_step(model, optimizer, x):
    loss, grads = nnx.value_and_grad(lambda m: jnp.mean(m(x) ** 2))(model)
    optimizer.update(model, grads)
    return loss


@pytest.mark.parametrize("donate", [False, True])
def test_a_training_step_equals_the_same_step_without_jit(donate):
    x = jax.random.normal(jax.random.key(0), (8, 4))
    losses, states = [], []
    for step in (train_step, nnx.jit(train_step, donate=donate)):
        model = Block(4, rngs=nnx.Rngs(0))
        # no adam: the bias before a BatchNorm has gradient 0, of which adam would magnify the rounding
        optimizer = nnx.Optimizer(model, optax.sgd(1e-1, momentum=0.9), wrt=nnx.Param)
        losses.append([float(step(model, optimizer, x)) for _ in range(5)])
        states.append(nnx.state((model, optimizer)))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)

    def same(a, b):
        a, b = (
            jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v
            for v in (a, b)
        )
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    jax.tree.map(same, *states)


def test_one_trace_for_many_steps_and_for_models_of_one_structure():
    step = counting(train_step)
    jitted = nnx.jit(step)
    x = jnp.ones((8, 4))
    tx = optax.adam(1e-2)
    for seed in range(3):
        model = Block(4, rngs=nnx.Rngs(seed))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        for _ in range(3):
            jitted(model, optimizer, x)
    assert step.calls == 1
    assert jitted._cache_size() == 1


def test_only_what_changed_comes_back():
    @nnx.jit
    def count(counter, model):
        counter.value.value += model.kernel.value[0, 0]

    counter, model = Counter(), nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    kept = model.kernel.value
    count(counter, model)
    assert model.kernel.value is kept
    (outputs,) = [lowered.out_tree.num_leaves for lowered in [count.lower(counter, model)]]
    assert outputs == 1


def test_methods_and_callable_objects_carry_their_object():
    model = Block(3, rngs=nnx.Rngs(0))
    x = jnp.ones((4, 3))
    nnx.jit(model)(x)
    assert model.dropout.rngs.count.value == 1
    nnx.jit(model.__call__)(x)
    assert model.dropout.rngs.count.value == 2

    class Owner(nnx.Module):
        def __init__(self):
            self.n = nnx.Variable(jnp.zeros(()))

        @nnx.jit
        def bump(self, by):
            self.n.value += by

    owner = Owner()
    owner.bump(2.0)
    assert owner.n.value == 2.0


def test_static_arguments_by_number_and_name():
    @nnx.jit(static_argnums=1, static_argnames="mode")
    def f(counter, times, *, mode="add"):
        for _ in range(times):
            counter.value.value += 1 if mode == "add" else -1

    counter = Counter()
    f(counter, 3)
    f(counter, times=2, mode="sub")
    assert counter.value.value == 1.0
    with pytest.raises(TypeError, match="static argument"):
        nnx.jit(lambda c: c, static_argnums=0)(counter)


def test_writing_a_closed_over_variable_raises_with_its_name():
    model = Block(2, rngs=nnx.Rngs(0))

    @nnx.jit
    def f(x):
        model.norm.mean.value = x

    with pytest.raises(
        nnx.TraceError, match=r"model\.norm\.mean \(BatchStat\) was made outside of nnx\.jit"
    ):
        f(jnp.ones(2))


def test_writing_a_closed_over_attribute_raises():
    counter = Counter()

    @nnx.jit
    def f(x):
        counter.calls = 3
        return x

    with pytest.raises(nnx.TraceError, match=r"Counter\.calls was made outside"):
        f(jnp.ones(2))
    assert counter.calls == 0


def test_reading_a_closed_over_variable_warns_once_with_its_name():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    jitted = nnx.jit(lambda x: model(x))
    with pytest.warns(
        UserWarning, match=r"reads model\.(kernel|bias) \(Param\), which is not an argument"
    ) as caught:
        jitted(jnp.ones((1, 2)))
        jitted(jnp.ones((1, 2)))
    assert len(caught) == 1


def test_the_optimizer_link_follows_the_copies():
    @nnx.jit
    def step(model, optimizer, x):
        grads = nnx.grad(lambda m: m(x).sum())(model)
        optimizer.update(grads)

    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    before = model.bias.value
    step(model, optimizer, jnp.ones((1, 2)))
    np.testing.assert_allclose(model.bias.value, before - 0.1)

    @nnx.jit
    def without(optimizer, grads):
        optimizer.update(grads)

    grads = nnx.grad(lambda m: m(jnp.ones((1, 2))).sum())(model)
    with pytest.raises(ValueError, match="needs the model, which was not passed"):
        without(optimizer, grads)


def test_programs_are_bounded():
    @nnx.jit
    def f(c):
        c.value.value += 1

    f.max_programs = 3
    counter = Counter()
    for n in range(6):
        counter.calls = n
        f(counter)
    assert len(f.programs) == 3


def test_nested_transforms_carry_state_out():
    model = Block(3, rngs=nnx.Rngs(0))

    @nnx.jit
    def outer(model, x):
        inner = nnx.jit(lambda m, x: m(x).sum())
        return inner(model, x) + nnx.grad(lambda m: m(x).sum())(model).linear.bias.value.sum()

    outer(model, jnp.ones((4, 3)))
    assert model.dropout.rngs.count.value == 2


def test_a_function_without_objects_is_compiled_too():
    assert nnx.jit(lambda x: x + 1)(1.0) == 2.0


def test_eval_shape_computes_nothing_and_changes_nothing():
    model = nnx.eval_shape(lambda: Block(3, rngs=nnx.Rngs(0)))
    assert model.linear.kernel.value == jax.ShapeDtypeStruct((3, 3), jnp.float32)
    live = Block(3, rngs=nnx.Rngs(0))
    out = nnx.eval_shape(live, jnp.ones((4, 3)))
    assert out.shape == (4, 3)
    assert live.dropout.rngs.count.value == 0


def test_work_of_a_call_is_counted_not_timed():
    """The dispatch of a call enters no Python function for each Variable."""
    import sys

    model = nnx.Module()
    model.blocks = [Block(2, rngs=nnx.Rngs(i)) for i in range(30)]

    @nnx.jit
    def step(model, x):
        for block in model.blocks:
            x = block(x)
        return x

    from nnxtrain.nnx.graph.structure import Check

    Check.enabled = False
    try:
        x = jnp.ones((2, 2))
        step(model, x)
        calls = 0

        def profile(frame, event, arg):
            nonlocal calls
            calls += event == "call" and "nnxtrain" in frame.f_code.co_filename

        gc.collect()
        sys.setprofile(profile)
        try:
            step(model, x)
        finally:
            sys.setprofile(None)
    finally:
        Check.enabled = True
    assert nnx.graphdef(model).num_leaves == 30 * 8
    assert 0 < calls < 30


def test_threads_may_make_the_first_call_at_once():
    @nnx.jit(donate=True)
    def step(counter):
        time.sleep(0.01)
        counter.value.value += 1

    counters = [Counter() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(step, counters))
    assert [float(c.value.value) for c in counters] == [1.0] * 8
    assert len(step.programs) == 1


def test_no_tracer_leaks_out_of_a_step():
    step = nnx.jit(train_step)
    with jax.checking_leaks():
        model = Block(4, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
        for _ in range(2):
            step(model, optimizer, jnp.ones((8, 4)))


def test_a_value_that_cannot_be_compiled_is_named():
    counter = Counter()
    counter.name = nnx.Variable("hello")
    with pytest.raises(TypeError, match="name holds a str, which cannot be compiled"):
        nnx.jit(lambda c: c.value.value)(counter)


def test_a_write_under_a_jax_transform_inside_jit_names_the_right_one():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))

    @nnx.jit
    def gradient(norm, x):
        return jax.grad(lambda x: norm(x).sum())(x)

    with pytest.raises(nnx.TraceError, match=r"outside of a JAX transform .* instead of JAX's"):
        gradient(norm, jnp.ones((3, 2)))


def test_sharded_values_keep_their_sharding_and_compile_once():
    script = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, jax.numpy as jnp, optax
from jax.sharding import NamedSharding, PartitionSpec
from nnxtrain import nnx
mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
place = lambda tree, *axes: jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))
model = nnx.Linear(8, 8, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
for node in (model, optimizer):
    nnx.update(node, place(nnx.state(node)))
model.kernel.value = place(model.kernel.value, None, "data")
@nnx.jit(donate=True)
def step(model, optimizer, x):
    optimizer.update(model, nnx.grad(lambda m: (m(x) ** 2).sum())(model))
for _ in range(3):
    step(model, optimizer, place(jnp.ones((8, 8)), "data"))
assert model.kernel.value.sharding.spec == PartitionSpec(None, "data"), model.kernel.value.sharding
assert len(step.programs) == 1 and step._cache_size() <= 2, step._cache_size()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_program_has_the_functions_name():
    def train_step(v):
        v.value = v.value + 1

    text = nnx.jit(train_step).lower(nnx.Param(jnp.ones(2))).as_text()
    assert "@jit_train_step" in text
