"""Layers against NumPy written out, and against PyTorch and Flax where these are installed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def correlate(x, kernel, strides, low, high, dilation=1, groups=1):
    """A convolution by the textbook: x [H, W, C], kernel [kh, kw, C/groups, O]."""
    x = np.pad(x, [(low, high), (low, high), (0, 0)])
    kh, kw, cg, out = kernel.shape
    rows = (x.shape[0] - dilation * (kh - 1) - 1) // strides + 1
    cols = (x.shape[1] - dilation * (kw - 1) - 1) // strides + 1
    y = np.zeros((rows, cols, out))
    for i, j, o in itertools.product(range(rows), range(cols), range(out)):
        group = o // (out // groups)
        for a, b in itertools.product(range(kh), range(kw)):
            pixel = x[i * strides + a * dilation, j * strides + b * dilation]
            y[i, j, o] += pixel[group * cg : (group + 1) * cg] @ kernel[a, b, :, o]
    return y


@pytest.mark.parametrize(
    ("kwargs", "low", "high"),
    [
        ({"padding": "VALID"}, 0, 0),
        ({"padding": "SAME"}, 1, 1),
        ({"padding": 2}, 2, 2),
        ({"padding": [(1, 2), (1, 2)]}, 1, 2),
        ({"padding": "VALID", "strides": 2}, 0, 0),
        ({"padding": "VALID", "kernel_dilation": 2}, 0, 0),
        ({"padding": "VALID", "feature_group_count": 2}, 0, 0),
    ],
)
def test_conv_is_the_textbooks(kwargs, low, high):
    layer = nnx.Conv(4, 6, (3, 3), **kwargs, rngs=nnx.Rngs(0))
    layer.bias.value = jnp.asarray(normal(6))
    x = normal(7, 7, 4)
    strides, dilation = kwargs.get("strides", 1), kwargs.get("kernel_dilation", 1)
    expected = correlate(
        x,
        np.asarray(layer.kernel.value),
        strides,
        low,
        high,
        dilation,
        kwargs.get("feature_group_count", 1),
    ) + np.asarray(layer.bias.value)
    np.testing.assert_allclose(layer(x[None])[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)  # no batch axis


def test_circular_and_causal_padding():
    layer = nnx.Conv(1, 1, 3, padding="CIRCULAR", use_bias=False, rngs=nnx.Rngs(0))
    x = normal(1, 5, 1)
    kernel = np.asarray(layer.kernel.value).ravel()
    around = np.concatenate([x[0, -1:, 0], x[0, :, 0], x[0, :1, 0]])
    np.testing.assert_allclose(
        layer(x)[0, :, 0], np.convolve(around, kernel[::-1], "valid"), rtol=1e-5, atol=1e-6
    )
    causal = nnx.Conv(1, 1, 3, padding="CAUSAL", use_bias=False, rngs=nnx.Rngs(0))
    grads = jax.jacobian(lambda x: causal(x)[0, :, 0])(jnp.asarray(x))[:, 0, :, 0]
    assert np.array_equal(np.triu(grads, 1), np.zeros((5, 5)))


def test_a_mask_multiplies_the_kernel():
    mask = np.zeros((3, 3, 1, 1), np.float32)
    mask[1, 1] = 1
    layer = nnx.Conv(1, 1, (3, 3), mask=mask, use_bias=False, rngs=nnx.Rngs(0))
    x = normal(1, 4, 4, 1)
    np.testing.assert_allclose(layer(x), x * np.asarray(layer.kernel.value)[1, 1], rtol=1e-5)


def test_linear_is_a_matrix_product():
    layer = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    layer.bias.value = jnp.asarray(normal(2))
    x = normal(4, 5, 3)
    expected = x @ np.asarray(layer.kernel.value) + np.asarray(layer.bias.value)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: nnx.Linear(4, 4, **k),
        lambda **k: nnx.Conv(4, 4, (1,), **k),
        lambda **k: nnx.BatchNorm(4, **k),
    ],
)
def test_dtype_computes_and_param_dtype_stores(make):
    layer = make(dtype=jnp.bfloat16, param_dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert layer(jnp.ones((2, 3, 4))).dtype == jnp.bfloat16
    assert {v.value.dtype for _, v in nnx.to_flat_state(nnx.state(layer, nnx.Param))} == {
        jnp.dtype("float32")
    }
    half = make(param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert {v.value.dtype for _, v in nnx.to_flat_state(nnx.state(half, nnx.Param))} == {
        jnp.dtype("bfloat16")
    }


@pytest.mark.parametrize("fast", [True, False])
def test_batch_norm_normalises_and_averages(fast):
    layer = nnx.BatchNorm(3, momentum=0.9, use_fast_variance=fast, rngs=nnx.Rngs(0))
    layer.scale.value, layer.bias.value = jnp.asarray(normal(3)), jnp.asarray(normal(3))
    x = normal(8, 5, 3) * 2 + 1
    mean, var = x.mean((0, 1)), x.var((0, 1))
    scale, bias = np.asarray(layer.scale.value), np.asarray(layer.bias.value)
    np.testing.assert_allclose(
        layer(x), (x - mean) / np.sqrt(var + 1e-5) * scale + bias, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(layer.mean.value, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.var.value, 0.9 + 0.1 * var, rtol=1e-5)
    layer.eval()
    m, v = np.asarray(layer.mean.value), np.asarray(layer.var.value)
    np.testing.assert_allclose(
        layer(x), (x - m) / np.sqrt(v + 1e-5) * scale + bias, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(layer.mean.value, m)


def test_batch_norm_counts_only_what_the_mask_lets_through():
    layer = nnx.BatchNorm(2, momentum=0.0, rngs=nnx.Rngs(0))
    x = normal(6, 2)
    mask = np.array([1, 1, 1, 0, 0, 0], bool)[:, None]
    layer(x, mask=mask)
    np.testing.assert_allclose(layer.mean.value, x[:3].mean(0), rtol=1e-5, atol=1e-6)


def test_batch_norm_over_a_mapped_axis():
    layer = nnx.BatchNorm(2, axis_name="devices", rngs=nnx.Rngs(0))
    x = normal(4, 6, 2)
    graphdef, state = nnx.split(layer)
    y = jax.vmap(lambda x: nnx.merge(graphdef, state)(x), axis_name="devices")(x)
    whole = nnx.BatchNorm(2, rngs=nnx.Rngs(0))(x.reshape(24, 2))
    np.testing.assert_allclose(y.reshape(24, 2), whole, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_mean_and_drops_the_rate():
    layer = nnx.Dropout(0.25, rngs=nnx.Rngs(0))
    y = np.asarray(layer(jnp.ones(20_000)))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    layer.eval()
    assert layer(jnp.ones(3)).tolist() == [1.0] * 3
    shared = nnx.Dropout(0.5, broadcast_dims=(0,), rngs=nnx.Rngs(0))(jnp.ones((50, 8)))
    assert (np.asarray(shared) == np.asarray(shared)[0]).all()
    assert nnx.Dropout(0.5)(jnp.ones(3), rngs=nnx.Rngs(dropout=0)).shape == (3,)
    with pytest.raises(ValueError, match="no random stream"):
        nnx.Dropout(0.5)(jnp.ones(3))
    with pytest.raises(ValueError, match="probability"):
        nnx.Dropout(1.5)


@pytest.mark.parametrize(
    ("function", "reduce"),
    [(nnx.max_pool, np.max), (nnx.min_pool, np.min), (nnx.avg_pool, np.mean)],
)
def test_pooling_reduces_windows(function, reduce):
    x = normal(2, 6, 6, 3)
    y = function(jnp.asarray(x), (2, 3), strides=(2, 3))
    blocks = x.reshape(2, 3, 2, 2, 3, 3)
    np.testing.assert_allclose(y, reduce(blocks, axis=(2, 4)), rtol=1e-5, atol=1e-6)


def test_average_pooling_may_leave_out_the_padding():
    x = jnp.ones((1, 4, 1))
    np.testing.assert_allclose(nnx.avg_pool(x, (3,), padding="SAME")[0, :, 0], [2 / 3, 1, 1, 2 / 3])
    np.testing.assert_allclose(
        nnx.avg_pool(x, (3,), padding="SAME", count_include_pad=False)[0, :, 0], [1] * 4
    )


def test_wrong_shapes_and_options_are_named():
    with pytest.raises(ValueError, match=r"Linear takes \[\.\.\., 3\]; it got \[2, 4\]"):
        nnx.Linear(3, 2, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"Conv takes .* it got \[2, 8, 8, 1\]"):
        nnx.Conv(3, 2, (3, 3), rngs=nnx.Rngs(0))(jnp.ones((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="unknown padding 'SANE'"):
        nnx.Conv(3, 2, (3, 3), padding="SANE", rngs=nnx.Rngs(0))(jnp.ones((2, 8, 8, 3)))
    with pytest.raises(ValueError, match="must divide"):
        nnx.Conv(3, 4, (3, 3), feature_group_count=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="BatchNorm takes 3 features"):
        nnx.BatchNorm(3, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))


def test_sequential_passes_tuples_and_dicts_on():
    model = nnx.Sequential(
        nnx.Linear(2, 3, rngs=nnx.Rngs(0)),
        lambda x: (x, 2.0),
        lambda x, k: {"x": x, "k": k},
        lambda *, x, k: x * k,
    )
    x = jnp.ones((1, 2))
    np.testing.assert_allclose(model(x), model.layers[0](x) * 2)


def test_train_and_eval_reach_every_layer():
    model = nnx.Sequential(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
    model.eval()
    assert model.layers[0].deterministic
    assert model.layers[1].use_running_average
    model.train()
    assert not model.layers[0].deterministic
    with pytest.raises(ValueError, match="no module of Sequential has the attribute"):
        model.set_attributes(nonsense=1)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = nnx.Conv(3, 4, (3, 3), strides=2, padding=1, rngs=nnx.Rngs(0))
    theirs = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
    theirs.weight.data = torch.tensor(np.asarray(layer.kernel.value).transpose(3, 2, 0, 1))
    theirs.bias.data = torch.tensor(np.asarray(layer.bias.value))
    x = normal(2, 8, 8, 3)
    xt = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    yt = theirs(xt)
    np.testing.assert_allclose(
        layer(x), yt.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5
    )
    yt.square().sum().backward()
    grads = nnx.grad(lambda m, x: jnp.square(m(x)).sum(), argnums=(0, 1))(layer, x)
    np.testing.assert_allclose(
        grads[0]["kernel"].value,
        theirs.weight.grad.numpy().transpose(2, 3, 1, 0),
        rtol=1e-4,
        atol=1e-4,
    )
    np.testing.assert_allclose(
        grads[1], xt.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4
    )


def test_against_flax():
    flax_nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    x = jnp.asarray(normal(2, 8, 8, 3))
    for make in (
        lambda lib: lib.Conv(3, 4, (3, 3), rngs=lib.Rngs(0)),
        lambda lib: lib.Linear(3, 4, rngs=lib.Rngs(0)),
        lambda lib: lib.BatchNorm(3, rngs=lib.Rngs(0)),
    ):
        ours, theirs = make(nnx), make(flax_nnx)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
        assert sorted(nnx.state(ours)) == sorted(flax_nnx.state(theirs))


def test_a_sequential_without_layers_gives_its_input_back():
    x = jnp.ones(2)
    assert nnx.Sequential()(x) is x
