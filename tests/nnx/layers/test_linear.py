"""Linear, LinearGeneral, Einsum, Embed, PReLU, LoRA beyond their numbers."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.layers.dot_general import dot_general

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape).astype(np.float32))


def test_a_dot_general_of_the_users_own():
    calls = []

    def dot_general(x, kernel, dimensions, precision):
        calls.append(precision)
        return 2 * jax.lax.dot_general(x, kernel, dimensions, precision=precision)

    x = normal(2, 3)
    layer = nnx.Linear(3, 4, dot_general=dot_general, precision="highest", rngs=nnx.Rngs(0))
    np.testing.assert_allclose(layer(x), 2 * x @ layer.kernel.value, rtol=1e-5)
    general = nnx.LinearGeneral(
        3, 4, dot_general_cls=lambda: dot_general, precision="highest", rngs=nnx.Rngs(0)
    )
    np.testing.assert_allclose(general(x), layer(x), rtol=1e-5)
    assert calls == ["highest"] * 3


def test_products_of_more_axes_are_of_matrices_and_their_gradients_transpose_nothing():
    def loss(multiply, x, up, down):
        for _ in range(2):
            x = jnp.tanh(multiply(jnp.tanh(multiply(x, up)), down))
        return (x**2).sum()

    def gradient(multiply):
        return jax.jit(jax.grad(partial(loss, multiply), (0, 1, 2))).lower(*args).compile()

    def transposed(compiled):
        text = compiled.as_text()
        assert " dot(" in text
        return re.findall(r"f32\[\S* (?:copy|transpose)\(", text)

    args = normal(2, 6, 3), normal(3, 4), normal(4, 3)
    contract = (((2,), (0,)), ((), ()))
    ours = gradient(lambda x, kernel: dot_general(x, kernel, contract))
    plain = gradient(lambda x, kernel: jax.lax.dot_general(x, kernel, contract))
    assert not transposed(ours)
    assert transposed(plain)  # or this function is needed no more
    for a, b in zip(ours(*args), plain(*args)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_metadata_goes_to_the_parameters():
    layer = nnx.Linear(
        3, 4, kernel_metadata={"unit": "m"}, bias_metadata={"unit": "s"}, rngs=nnx.Rngs(0)
    )
    assert (layer.kernel.unit, layer.bias.unit) == ("m", "s")
    init = nnx.with_metadata(nnx.initializers.lecun_normal(), axes=("in", "out"))
    general = nnx.LinearGeneral(3, (2, 2), kernel_init=init, rngs=nnx.Rngs(0))
    assert general.kernel.axes == ("in", "out")
    assert general.kernel.shape == (3, 2, 2)


def test_the_wrong_size_is_named():
    with pytest.raises(ValueError, match=r"Linear takes \[\.\.\., 3\]; it got \[2, 4\]"):
        nnx.Linear(3, 2, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"Linear takes \[\.\.\., 3\]; it got \[\]"):
        nnx.Linear(3, 2, rngs=nnx.Rngs(0))(jnp.ones(()))
    with pytest.raises(ValueError, match=r"LoRA takes \[\.\.\., 3\]; it got \[2, 4\]"):
        nnx.LoRA(3, 2, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"attend takes \[\.\.\., 4\]; it got \[2, 3\]"):
        nnx.Embed(5, 4, rngs=nnx.Rngs(0)).attend(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Embed takes integers; it got float32\[2\]"):
        nnx.Embed(5, 4, rngs=nnx.Rngs(0))(jnp.ones(2))


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (5, 2, 3, 1), (5, 3, 2)])
def test_linear_general_names_sizes_and_axes(shape):
    layer = nnx.LinearGeneral((2, 3), 4, axis=(1, -1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"takes the sizes \(2, 3\) on the axes \(1, -1\); it got"):
        layer(jnp.ones(shape))


def test_linear_general_checks_its_axes():
    with pytest.raises(ValueError, match="one axis for each"):
        nnx.LinearGeneral((2, 3), 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"leading axes 0, 1, …; it got \{1: 2\}"):
        nnx.LinearGeneral(2, 4, batch_axis={1: 2}, rngs=nnx.Rngs(0))
    layer = nnx.LinearGeneral(3, 4, batch_axis={0: 5}, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"and \{0: 5\} on its batch axes; it got \[4, 3\]"):
        layer(jnp.ones((4, 3)))


def test_einsum_takes_its_equation_from_the_call():
    layer = nnx.Einsum(None, (3, 4), (4,), rngs=nnx.Rngs(0))
    layer.bias.value = normal(4)
    x = normal(2, 5, 3)
    expected = x @ layer.kernel.value + layer.bias.value
    np.testing.assert_allclose(layer(x, "nta, ab -> ntb"), expected, rtol=1e-5)
    np.testing.assert_allclose(layer(x, "...a,ab->...b"), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Einsum has no equation"):
        layer(x)


def test_einsum_names_its_equation():
    for equation in ("ab,bc", "ab->a", "a,b,c->abc"):
        with pytest.raises(ValueError, match=f"'input,kernel->output'; it got '{equation}'"):
            nnx.Einsum(equation, (2, 3), rngs=nnx.Rngs(0))
    layer = nnx.Einsum("ta,ab->tb", (3, 4), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"with a kernel \[3, 4\] cannot take \[2, 5\]"):
        layer(jnp.ones((2, 5)))
    layer = nnx.Einsum("ta,ab->tb", (3, 4), (3,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"keeps \[4\] of its kernel; bias_shape is \(3,\)"):
        layer(jnp.ones((2, 3)))


def test_einsum_with_an_ellipsis_in_the_kernel():
    layer = nnx.Einsum("...a,...ab->...b", (5, 3, 4), (5, 4), rngs=nnx.Rngs(0))
    layer.bias.value = normal(5, 4)
    x = normal(2, 5, 3)
    expected = np.einsum("nka,kab->nkb", x, layer.kernel.value) + layer.bias.value
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_embed_gives_nan_out_of_range_and_counts_from_the_end():
    layer = nnx.Embed(5, 4, rngs=nnx.Rngs(0))
    y = np.asarray(layer(jnp.array([5, -1, -6])))
    assert np.isnan(y[[0, 2]]).all()
    np.testing.assert_array_equal(y[1], layer.embedding.value[4])


def test_embed_computes_in_the_dtype_that_its_table_has_now():
    layer = nnx.Embed(5, 4, rngs=nnx.Rngs(0))
    assert layer(jnp.array([1])).dtype == layer.attend(normal(2, 4)).dtype == jnp.float32
    with jax.enable_x64(True):
        table = np.random.default_rng(0).normal(size=(5, 4))
        layer.embedding.value = jnp.asarray(table)
        np.testing.assert_array_equal(layer(jnp.array([3, 1])), table[[3, 1]])
        np.testing.assert_allclose(layer.attend(jnp.asarray(table)), table @ table.T, rtol=1e-14)
    assert (
        nnx.Embed(5, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(jnp.array([1])).dtype == jnp.bfloat16
    )


def test_low_rank_changes_train_alone():
    model = nnx.LoRALinear(3, 2, lora_rank=1, rngs=nnx.Rngs(0))
    x, target = normal(8, 3), normal(8, 2)
    np.testing.assert_array_equal(model(x), x @ model.kernel.value)  # B starts as zeros
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.LoRAParam)
    kernel = model.kernel.value

    def loss(model):
        return jnp.square(model(x) - target).mean()

    @nnx.jit
    def step(model, optimizer):
        grads_of = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, nnx.LoRAParam))
        value, grads = grads_of(model)
        optimizer.update(model, grads)
        return value

    losses = [float(step(model, optimizer)) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert (model.kernel.value == kernel).all()
    with pytest.raises(ValueError, match="base_module must be callable; a List is not"):
        nnx.LoRA(3, 1, 2, base_module=nnx.List(), rngs=nnx.Rngs(0))


def test_an_array_in_the_place_of_a_parameter():
    layer = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    layer.kernel = jnp.ones((4, 2))
    layer.bias = jnp.ones(2)
    np.testing.assert_array_equal(layer(jnp.ones((1, 4))), [[5.0, 5.0]])
