"""WeightNorm and SpectralNorm: the layer keeps its own weights."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx

X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.float32)


def weight_norm():
    return nnx.WeightNorm(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))


def spectral_norm(**kwargs):
    return nnx.SpectralNorm(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), **kwargs, rngs=nnx.Rngs(1))


def params(model):
    return [np.asarray(v.value) for _, v in nnx.to_flat_state(nnx.state(model, nnx.Param))]


@pytest.mark.parametrize("make", [weight_norm, spectral_norm])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_call_changes_no_parameter(make, compiled):
    model = make()
    before = params(model)
    (nnx.jit if compiled else lambda f: f)(lambda m, x: m(x))(model, X)
    for old, new in zip(before, params(model)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("make", [weight_norm, spectral_norm])
def test_evaluation_writes_nothing(make):
    model = make()
    model.eval()
    with nnx.frozen(model):
        first = model(X)
    np.testing.assert_array_equal(first, model(X))


@pytest.mark.parametrize("make", [weight_norm, spectral_norm])
def test_the_layers_weights_are_back_after_an_error(make):
    model = make()
    before = params(model)
    with pytest.raises(ValueError, match="Linear takes"):
        model(jnp.ones((2, 3)))
    for old, new in zip(before, params(model)):
        np.testing.assert_array_equal(old, new)


def test_the_length_of_the_weight_is_the_scale():
    model = weight_norm()
    model.scales["kernel"].value = jnp.array([1.0, 2.0, 3.0, 4.0])
    model.layer_instance.kernel.value *= 7
    kernel = model(jnp.eye(5)) - model.layer_instance.bias.value
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), [1, 2, 3, 4], rtol=1e-5)


def test_weight_norms_gradient_is_orthogonal_to_the_kernel():
    """So that the length of the kernel itself has no effect; section 2.1 of the paper."""
    model = weight_norm()
    grads = nnx.grad(lambda m: jnp.square(m(X)).sum())(model)
    inner = (grads["layer_instance"]["kernel"].value * model.layer_instance.kernel.value).sum(0)
    np.testing.assert_allclose(inner, np.zeros(4), atol=1e-4)
    assert np.abs(grads["scales"]["kernel"].value).min() > 1e-3


def test_weight_norm_learns_its_scales():
    model = weight_norm()
    target = 3 * X @ jnp.asarray(np.random.default_rng(1).normal(size=(5, 4)), jnp.float32)
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: jnp.square(m(X) - target).mean())(model)
        optimizer.update(model, grads)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(100)]
    assert losses[-1] < 0.02 * losses[0]


def test_the_filter_says_which_parameters():
    model = nnx.WeightNorm(
        nnx.Sequential(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), nnx.Linear(4, 3, rngs=nnx.Rngs(0))),
        variable_filter=nnx.All(nnx.PathContains(1), nnx.PathContains("kernel")),
        rngs=nnx.Rngs(1),
    )
    paths = [path for path, _ in nnx.to_flat_state(nnx.state(model)) if path[0] == "scales"]
    assert paths == [("scales", "layers", "1", "kernel")]


def test_spectral_norm_converges_to_the_largest_singular_value():
    model = spectral_norm()
    kernel = np.asarray(model.layer_instance.kernel.value)
    for _ in range(60):
        y = model(X)
    largest = np.linalg.svd(kernel)[1][0]
    np.testing.assert_allclose(model.batch_stats["kernel"]["sigma"].value, largest, rtol=1e-4)
    np.testing.assert_allclose(y, X @ (kernel / largest), rtol=1e-3, atol=1e-4)


def test_spectral_norm_updates_only_if_asked():
    model = spectral_norm(update_stats=False)
    u = model.batch_stats["kernel"]["u"].value
    model(X)
    np.testing.assert_array_equal(model.batch_stats["kernel"]["u"].value, u)
    model(X, update_stats=True)
    assert (model.batch_stats["kernel"]["u"].value != u).any()
    model.train()
    assert model.use_running_average is False


def test_spectral_norm_of_other_shapes():
    conv = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0))
    nnx.SpectralNorm(conv, rngs=nnx.Rngs(0))(jnp.ones((1, 4, 4, 2)))
    with pytest.raises(ValueError, match=r"kernel is \[3, 3, 2, 3\]"):
        nnx.SpectralNorm(conv, error_on_non_matrix=True, rngs=nnx.Rngs(0))
    plain = spectral_norm(n_steps=0)
    np.testing.assert_array_equal(plain(X), plain.layer_instance(X))


@pytest.mark.parametrize("make", [weight_norm, spectral_norm])
def test_a_parameter_that_came_later_is_named(make):
    model = make()
    model.layer_instance.inner = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"nothing for the parameter inner\.kernel"):
        model(X)
