import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx


def make(tx=None, wrt=nnx.Param):
    model = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    return model, nnx.Optimizer(model, tx or optax.adam(0.1), wrt=wrt)


@pytest.mark.parametrize(
    "tx", [optax.sgd(0.1), optax.adam(0.1), optax.chain(optax.clip(0.1), optax.adamw(0.1))]
)
def test_updates_are_those_of_optax(tx):
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    params = nnx.to_pure_dict(nnx.state(model))
    state = tx.init(params)
    x = jnp.ones((4, 2))
    for _ in range(3):
        optimizer.update(model, nnx.grad(lambda m: (m(x) ** 2).mean())(model))
        grads = jax.grad(lambda p: ((x @ p["kernel"] + p["bias"]) ** 2).mean())(params)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        nnx.to_pure_dict(nnx.state(model)),
        params,
    )
    assert optimizer.step.value == 3


def test_only_what_wrt_means_is_optimized():
    model, optimizer = make(wrt=nnx.PathContains("scale"))
    grads = nnx.grad(
        lambda m: m(jnp.arange(6.0).reshape(2, 3)).sum(),
        argnums=nnx.DiffState(0, nnx.PathContains("scale")),
    )(model)
    bias = model.bias.value
    optimizer.update(model, grads)
    assert model.bias.value is bias


def test_two_optimizers_share_one_gradient():
    model, scale_optimizer = make(wrt=nnx.PathContains("scale"))
    bias_optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.PathContains("bias"))
    before = model.bias.value
    grads = nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(model)
    scale_optimizer.update(model, grads)
    np.testing.assert_array_equal(model.bias.value, before)
    bias_optimizer.update(model, grads)
    np.testing.assert_allclose(model.bias.value, before - grads["bias"].value)
    with pytest.raises(ValueError, match=r"no gradient for bias, which wrt=.* is to optimize"):
        bias_optimizer.update(model, nnx.filter_state(grads, nnx.PathContains("scale")))


def test_arguments_that_are_none_of_the_kind():
    model, optimizer = make()
    grads = nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(model)
    with pytest.raises(TypeError, match="the other way round"):
        optimizer.update(grads, model)
    with pytest.raises(TypeError, match="optax transformation"):
        nnx.Optimizer(model, 0.1, wrt=nnx.Param)


def test_model_and_gradients_by_name():
    first, second, third = make(), make(), make()
    grads = nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(first[0])
    first[1].update(first[0], grads)
    second[1].update(model=second[0], grads=grads)
    third[1].update(grads=grads)
    for model, _ in (second, third):
        np.testing.assert_array_equal(model.scale.value, first[0].scale.value)


def test_gradients_of_other_kinds_of_variables_are_left_alone():
    model = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    x = jnp.ones((4, 2))
    y, pullback = nnx.vjp(lambda m: m(x, use_running_average=True), model)
    mean = model.mean.value
    optimizer.update(model, *pullback(jnp.ones_like(y)))
    np.testing.assert_array_equal(model.bias.value, [-4.0, -4.0])
    np.testing.assert_array_equal(model.mean.value, mean)


def test_a_module_of_gradients_will_do():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    before = model.bias.value
    optimizer.update(model, jax.grad(lambda m: m(jnp.ones((1, 2))).sum())(model))
    np.testing.assert_allclose(model.bias.value, before - 1.0)


def test_the_model_is_no_part_of_the_optimizers_state():
    model, optimizer = make()
    paths = {p for p, _ in nnx.to_flat_state(nnx.state(optimizer))}
    assert paths == {
        ("step",), ("opt_state", 0, "count"), ("opt_state", 0, "mu", "scale"), ("opt_state", 0, "mu", "bias"),
        ("opt_state", 0, "nu", "scale"), ("opt_state", 0, "nu", "bias"),
    }  # fmt: skip
    both = nnx.ModelAndOptimizer(model, optax.sgd(0.1))
    assert ("model", "scale") in {p for p, _ in nnx.to_flat_state(nnx.state(both))}


def test_kinds_of_state():
    _, optimizer = make()
    state = nnx.state(optimizer)
    assert isinstance(state["opt_state"][0]["mu"]["scale"], nnx.OptVariable)
    assert isinstance(state["opt_state"][0]["count"], nnx.OptArray)


def test_masked_and_partitioned_transformations():
    tx = optax.multi_transform(
        {"a": optax.adam(0.1), "b": optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(
            lambda path, _: "a" if "scale" in str(path) else "b", params
        ),
    )
    model, optimizer = make(tx)
    bias = np.asarray(model.bias.value)
    grads = nnx.grad(lambda m: jnp.exp(m(jnp.arange(6.0).reshape(2, 3))).sum())(model)
    optimizer.update(model, grads)
    np.testing.assert_array_equal(model.bias.value, bias)
    assert not np.array_equal(model.scale.value, np.ones(3))


def test_update_without_the_model_writes_the_linked_one():
    model, optimizer = make(optax.sgd(1.0))
    grads = nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(model)
    optimizer.update(grads)
    assert optimizer.step.value == 1
    with pytest.raises(TypeError, match=r"takes \(grads\) or \(model, grads\)"):
        optimizer.update()


def test_extra_arguments_reach_the_transformation():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    seen = []
    tx = optax.GradientTransformationExtraArgs(
        lambda params: optax.EmptyState(),
        lambda u, s, p=None, *, value, **_: (seen.append(value), (u, s))[1],
    )
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    optimizer.update(model, nnx.grad(lambda m: m(jnp.ones((1, 1))).sum())(model), value=3.0)
    assert seen == [3.0]


def test_a_deep_copy_of_model_and_optimizer_belongs_together():
    model, optimizer = copy.deepcopy(make(optax.sgd(1.0)))
    both = copy.deepcopy(nnx.ModelAndOptimizer(model, optax.sgd(1.0)))
    for owned, tx in ((model, optimizer), (both.model, both)):
        before = owned.bias.value
        tx.update(nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(owned))
        np.testing.assert_allclose(owned.bias.value, before - 2.0)


@pytest.mark.parametrize(
    "tx",
    [
        optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
        optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
        optax.masked(optax.adam(0.1), lambda params: jax.tree.map(lambda x: x.ndim > 1, params)),
        optax.named_chain(("z", optax.trace(0.9)), ("a", optax.scale_by_adam())),
        optax.contrib.schedule_free_sgd(0.1),
        optax.contrib.reduce_on_plateau(),
        optax.apply_if_finite(optax.adam(0.1), 3),
    ],
    ids=["multi", "inject", "masked", "named", "schedule_free", "plateau", "if_finite"],
)
def test_odd_states_of_optax_compile_once(tx):
    @nnx.jit(donate=True)
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: (m(jnp.ones((1, 2))) ** 2).sum())(model)
        optimizer.update(model, grads, value=loss)

    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for _ in range(3):
        step(model, optimizer)
    assert step._cache_size() == 1


def test_a_state_of_lists_and_dicts_keeps_its_places():
    """The keys are not in sorted order, so that a mix-up would show."""
    tx = optax.GradientTransformation(
        lambda params: [{"z": jnp.zeros(()), "a": jnp.full((), 10.0)}],
        lambda updates, state, params=None: (updates, [{k: v + 1 for k, v in state[0].items()}]),
    )
    model, optimizer = make(tx)
    optimizer.update(model, nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(model))
    assert (optimizer.opt_state[0]["z"].value, optimizer.opt_state[0]["a"].value) == (1.0, 11.0)


def test_a_line_search_gets_arrays():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.lbfgs(), wrt=nnx.Param)
    x = jnp.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    graphdef = nnx.graphdef(model)

    def loss_of(model):
        return ((model(x) - 1) ** 2).sum()

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(loss_of)(model)
        optimizer.update(
            model, grads, grad=grads, value=loss, value_fn=lambda p: loss_of(nnx.merge(graphdef, p))
        )
        return loss

    losses = [float(step(model, optimizer)) for _ in range(6)]
    assert losses[-1] < 1e-3 * losses[0]
    assert step._cache_size() == 1


def test_a_list_of_filters_will_do():
    model, optimizer = make(optax.sgd(0.1), wrt=[nnx.Param])
    optimizer.update(model, nnx.grad(lambda m: m(jnp.ones((2, 3))).sum())(model))
    assert optimizer.step.value == 1


def test_gradients_that_are_no_state_are_refused():
    model, optimizer = make()
    with pytest.raises(TypeError, match="are a NoneType; pass the State"):
        optimizer.update(model, None)
