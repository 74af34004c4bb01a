"""nnx.explain_recompile: each cause of a second compilation is named, and compiled calls pay nothing for it."""

import gc
import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from nnxtrain import nnx
from nnxtrain.nnx.inspection import recompile


class Net(nnx.Module):
    def __init__(self, *, activation=nnx.relu, rngs):
        self.linear = nnx.Linear(3, 3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        return self.activation(self.dropout(self.linear(x)))

    @nnx.jit
    def method(self, x):
        return self(x)


def net(**kwargs):
    return Net(rngs=nnx.Rngs(0), **kwargs)


def make_step(**options):
    @partial(nnx.jit, **options)
    def step(model, x, scale=1.0):
        return model(x) * scale

    return step


X = jnp.ones((4, 3))


def last(step):
    """The last compilation's nearest one, and its differences."""
    entry = nnx.explain_recompile(step)[-1]
    return entry.nearest, [str(d) for d in entry.differences]


def test_a_function_that_compiled_once_or_never():
    step = make_step()
    assert str(nnx.explain_recompile(step)).endswith("step: not compiled")
    model = net()
    for _ in range(3):
        step(model, X)
    report = nnx.explain_recompile(step)
    assert len(report) == 1
    assert report[0].nearest is None
    assert repr(report).endswith("step: compiled once\n1. the first call")


def test_another_model_of_the_same_structure_compiles_nothing():
    step = make_step()
    for seed in range(3):
        step(Net(rngs=nnx.Rngs(seed), activation=partial(jax.nn.gelu, approximate=True)), X)
    assert len(nnx.explain_recompile(step)) == 1


def test_shapes_dtypes_and_weak_types_of_arguments():
    step, model = make_step(), net()
    step(model, X)
    step(model, X[:2])
    advice = "another batch size? pad or drop the last batch"
    assert last(step) == (1, [f"x: float32[4,3] -> float32[2,3] ({advice})"])
    step(model, X.astype(jnp.bfloat16))
    assert last(step) == (1, ["x: float32[4,3] -> bfloat16[4,3]"])
    step(model, X[None])
    assert last(step) == (2, ["x: float32[2,3] -> float32[1,4,3]"])
    step(model, X, jnp.float32(2))
    assert last(step) == (1, ["scale: absent -> float32[]"])
    step(model, X, 2.0)
    nearest, (line,) = last(step)
    assert nearest == 5
    assert line.startswith("scale: float32[] -> float32[] (weak) (a Python number is a weak type")
    step(model, X, 3.0)
    assert len(nnx.explain_recompile(step)) == 6


def test_static_arguments():
    step, model = make_step(static_argnames="scale"), net()
    step(model, X, scale=2)
    step(model, X, scale=3)
    assert last(step) == (1, ["scale: 2 -> 3"])
    step(model, X, 3)
    assert len(nnx.explain_recompile(step)) >= 2


def test_a_static_attribute_by_its_path():
    step, model = make_step(), net()
    step(model, X)
    model.eval()
    step(model, X)
    assert last(step) == (1, ["model.dropout.deterministic: False -> True"])
    model.train()
    step(model, X)
    assert len(nnx.explain_recompile(step)) == 2


def test_several_objects_are_named_by_their_arguments():
    @nnx.jit
    def train(model, optimizer, batch):
        grads = nnx.grad(lambda model: model(batch["x"]).sum())(model)
        optimizer.update(model, grads)

    model = net()
    optimizer = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)
    train(model, optimizer, {"x": X})
    optimizer.extra = 1
    model.dropout.rate = 0.1
    train(model, optimizer, {"x": X[:3], "y": X})
    nearest, lines = last(train)
    assert nearest == 1
    assert lines[:2] == ["model.dropout.rate: 0.5 -> 0.1", "optimizer.extra: absent -> 1"]
    assert lines[2].startswith("batch.x: float32[4,3] -> float32[3,3]")
    assert lines[3] == "batch.y: absent -> float32[4,3]"


def test_arrays_in_objects_by_their_path():
    step = make_step()
    model = net()
    step(model, X)
    model.linear.kernel.value = model.linear.kernel.value.astype(jnp.bfloat16)
    step(model, X)
    assert last(step) == (1, ["model.linear.kernel: float32[3,3] -> bfloat16[3,3]"])


def test_a_lambda_made_for_each_model_and_what_to_do():
    step = make_step()
    for _ in range(2):
        step(net(activation=lambda x: x), X)
    _, (line,) = last(step)
    assert line.startswith("model.activation: <lambda> -> <lambda> (a function made anew is never")
    assert "define it once" in line
    step = make_step()
    for _ in range(2):
        step(net(activation=partial(lambda a, x: x, 1)), X)
    assert "a function made anew" in last(step)[1][0]


def test_frozen_and_shared():
    step, model = make_step(), net()
    step(model, X)
    with nnx.frozen(model.linear.kernel):
        step(model, X)
    assert last(step) == (1, ["model.linear.kernel: not frozen -> frozen"])

    @nnx.jit
    def both(a, b, x):
        return a(x) + b(x)

    both(net(), net(), X)
    model = net()
    both(model, model, X)
    assert last(both)[0] == 1
    assert last(both)[1]


def test_settings_of_jax_and_the_kind_of_argument():
    step, model = make_step(), net()
    step(model, X)
    with jax.default_matmul_precision("highest"):
        step(model, X)
    assert last(step) == (1, ["jax_default_matmul_precision: None -> 'highest'"])

    @nnx.jit
    def total(values, *rest):
        return sum(jax.tree.leaves((values, rest)))

    total((X, X))
    total([X, X])
    nearest, (line,) = last(total)
    assert nearest == 1
    assert line.startswith("arguments: ")
    total((X, X), X)
    assert "rest.0: absent -> float32[4,3]" in last(total)[1]


def test_methods_and_bound_functions():
    model = net()
    model.method(X)
    model.eval()
    model.method(X)
    assert last(model.method) == (1, ["self.dropout.deterministic: False -> True"])
    jitted = nnx.jit(model)
    jitted(X)
    jitted(X[:1])
    assert last(jitted)[1][0].startswith("x: float32[4,3] -> float32[1,3]")


def test_donation_traces_twice_and_compiles_once():
    @partial(nnx.jit, donate=True)
    def add(variable, x):
        variable.value += x

    variable = nnx.Param(jnp.ones(3))
    for _ in range(3):
        add(variable, jnp.ones(3))
    assert len(nnx.explain_recompile(add)) == 1
    assert add._cache_size() == 1


def test_the_nearest_of_many_is_compared():
    step, model = make_step(), net()
    step(model, X)
    model.eval()
    step(model, X[:2])
    step(model, X[:1])
    assert last(step)[0] == 2
    model.train()
    step(model, X[:1])
    assert last(step) == (3, ["model.dropout.deterministic: True -> False"])


def test_what_is_forgotten(monkeypatch):
    monkeypatch.setattr(recompile, "MAX_TRACES", 3)
    step, model = make_step(), nnx.Linear(3, 3, rngs=nnx.Rngs(0))
    for size in range(1, 6):
        step(model, jnp.ones((size, 3)))
    report = nnx.explain_recompile(step)
    assert [entry.number for entry in report] == [3, 4, 5]
    assert len(step.history.traces) == 3


def test_a_program_that_was_dropped(monkeypatch):
    step = make_step()
    step.max_programs = 1
    model = net()
    step(model, X)
    model.eval()
    step(model, X)
    model.train()
    step(model, X)
    nearest, (line,) = last(step)
    assert nearest == 1
    assert line.startswith("the same program -> compiled again (it was dropped")


def test_a_compiled_call_notes_nothing_and_holds_nothing(monkeypatch):
    step, model = make_step(), net()
    step(model, X)
    monkeypatch.setattr(recompile.History, "record", lambda *args: pytest.fail("noted a call"))
    monkeypatch.setattr(recompile.History, "run_watched", lambda *args: pytest.fail("watched"))
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        step(model, X)
    gc.collect()
    assert len(gc.get_objects()) <= before + 20


def test_the_history_keeps_no_model_alive():
    import weakref

    step = make_step()
    model = net()
    alive = weakref.ref(model)
    step(model, X)
    del model
    gc.collect()
    assert alive() is None


def test_only_functions_of_nnx_jit():
    with pytest.raises(TypeError, match=r"needs a function made by nnx\.jit; .* is a function"):
        nnx.explain_recompile(lambda x: x)
    with pytest.raises(TypeError, match=r"needs a function made by nnx\.jit"):
        nnx.explain_recompile(jax.jit(lambda x: x))


def test_told_at_the_moment_of_the_compilation():
    step, model, told = make_step(), net(), []
    with nnx.explain_recompile(log=told.append):
        step(model, X)
        step(model, X)
        model.eval()
        step(model, X)
    step(model, X[:2])
    assert len(told) == 2
    assert told[0].endswith("step: 1. the first call")
    assert told[1].endswith("2. differs from 1 in\n   model.dropout.deterministic: False -> True")
    assert "nnx.jit compiles" in told[0]


def test_the_block_ends_with_an_exception_too(capsys):
    step, model = make_step(), net()

    def fail():
        with nnx.explain_recompile():
            step(model, X)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capsys.readouterr().err.count("nnx.jit compiles") == 1
    assert not recompile.watchers
    with nnx.explain_recompile(log=print), nnx.explain_recompile(log=print):
        step(model, X[:2])
    assert capsys.readouterr().out.count("nnx.jit compiles") == 2
    assert not recompile.watchers


def test_a_results_place_differs_from_a_new_arrays():
    @nnx.jit
    def step(model, x):
        return model(x)

    told = []
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    model = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
    with nnx.explain_recompile(log=told.append):
        step(model, X)
        step(model, jax.device_put(X, jax.devices()[0]))
        step(model, X)
        assert len(told) == 2
        assert "again, for the same types in another place\n   x: anywhere -> on cpu:0 (" in told[1]
        everywhere = NamedSharding(mesh, P())
        graphdef, state = nnx.split(model)
        model = nnx.merge(graphdef, jax.device_put(state, everywhere))
        step(model, jax.device_put(X, NamedSharding(mesh, P("data"))))
    assert len(told) == 3
    assert "x: anywhere -> P('data') over (data: 4)" in told[2]
    assert "model.kernel: anywhere -> P() over (data: 4)" in told[2]
    report = nnx.explain_recompile(step)
    assert (len(report), report.untraced) == (1, 2)
    assert "and 2 more for arrays of the same types on other devices" in str(report)


def test_the_environment_variable():
    code = """
import jax.numpy as jnp
from nnxtrain import nnx
step = nnx.jit(lambda model, x: model(x))
model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
step(model, jnp.ones((2, 2))); step(model, jnp.ones((1, 2)))
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NNXTRAIN_EXPLAIN_RECOMPILE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = found.stderr.splitlines()
    assert lines[0] == "nnx.jit compiles <lambda>: 1. the first call"
    assert lines[2].startswith("   x: float32[2,2] -> float32[1,2]")
