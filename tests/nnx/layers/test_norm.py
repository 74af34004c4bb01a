"""Normalisation layers beyond their numbers: statistics, masks, mapped axes, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


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


def test_batch_norm_must_know_its_statistics():
    layer = nnx.BatchNorm(2, use_running_average=None, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"call model.train\(\) or model.eval\(\)"):
        layer(jnp.ones((3, 2)))
    assert layer(jnp.ones((3, 2)), use_running_average=True).shape == (3, 2)
    layer.set_view(use_running_average=True)
    assert layer(jnp.ones((3, 2))).shape == (3, 2)


def test_no_gradient_flows_into_the_running_averages():
    def loss(layer, x):
        layer(x)
        return layer.mean.value.sum() + layer.var.value.sum()

    layer = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(nnx.grad(loss, argnums=1)(layer, normal(5, 2)), np.zeros((5, 2)))


def test_half_precision_keeps_statistics_in_float32():
    """1000 ± 1: in bfloat16 the running mean would stay 1000, and the variance would be lost."""
    x = jnp.asarray(1000 + normal(4096, 1), jnp.bfloat16)
    layer = nnx.BatchNorm(
        1, momentum=0.0, dtype=jnp.bfloat16, use_fast_variance=False, rngs=nnx.Rngs(0)
    )
    assert layer(x).dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64)
    assert layer.mean.dtype == layer.var.dtype == jnp.float32
    np.testing.assert_allclose(layer.mean.value, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.var.value, exact.var(0), rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: nnx.BatchNorm(2, **k),
        lambda **k: nnx.LayerNorm(2, reduction_axes=(0, 1), **k),
        lambda **k: nnx.RMSNorm(2, reduction_axes=(0, 1), **k),
        lambda **k: nnx.GroupNorm(2, num_groups=1, reduction_axes=(0, 1), **k),
    ],
    ids=["batch", "layer", "rms", "group"],
)
def test_statistics_over_a_mapped_axis(make):
    x = normal(4, 6, 2)
    graphdef, state = nnx.split(make(axis_name="devices", rngs=nnx.Rngs(0)))
    y = jax.vmap(lambda x: nnx.merge(graphdef, state)(x), axis_name="devices")(x)
    whole = make(rngs=nnx.Rngs(0))(x.reshape(24, 2))
    np.testing.assert_allclose(y.reshape(24, 2), whole, rtol=1e-4, atol=1e-5)


def test_statistics_over_groups_of_a_mapped_axis():
    """Groups are given as lists; they are no nodes of the graph."""
    layer = nnx.BatchNorm(
        2, axis_name="devices", axis_index_groups=[[0, 1], [2, 3]], rngs=nnx.Rngs(0)
    )
    assert layer.axis_index_groups == ((0, 1), (2, 3))
    graphdef, state = nnx.split(layer)
    x = normal(4, 6, 2)
    spec = jax.sharding.PartitionSpec("devices")
    y = jax.shard_map(
        lambda x: nnx.merge(graphdef, state)(x),
        mesh=jax.make_mesh((4,), ("devices",), (jax.sharding.AxisType.Auto,)),
        in_specs=spec,
        out_specs=spec,
        check_vma=False,
    )(x)
    half = nnx.BatchNorm(2, rngs=nnx.Rngs(0))(x[:2].reshape(12, 2))
    np.testing.assert_allclose(y[:2].reshape(12, 2), half, rtol=1e-4, atol=1e-5)


def test_group_norm_with_several_batch_axes():
    layer = nnx.GroupNorm(6, num_groups=3, reduction_axes=(-2, -1), rngs=nnx.Rngs(0))
    x = normal(2, 3, 4, 6)
    one_by_one = nnx.GroupNorm(6, num_groups=3, rngs=nnx.Rngs(0))(x.reshape(6, 4, 6))
    np.testing.assert_allclose(layer(x).reshape(6, 4, 6), one_by_one, rtol=1e-5, atol=1e-6)


def test_norms_that_are_each_other():
    x = normal(2, 3, 4, 6)
    group = nnx.GroupNorm(6, num_groups=1, rngs=nnx.Rngs(0))(x)
    layer = nnx.LayerNorm(6, reduction_axes=(1, 2, 3), rngs=nnx.Rngs(0))(x)
    np.testing.assert_allclose(group, layer, rtol=1e-5, atol=1e-6)
    instance = nnx.InstanceNorm(6, rngs=nnx.Rngs(0))(x)
    group = nnx.GroupNorm(6, num_groups=6, rngs=nnx.Rngs(0))(x)
    np.testing.assert_allclose(group, instance, rtol=1e-5, atol=1e-6)


def test_complex_input():
    x = (normal(4, 3) + 1j * normal(4, 3)).astype(np.complex64)
    y = np.asarray(nnx.LayerNorm(3, param_dtype=jnp.complex64, rngs=nnx.Rngs(0))(x))
    centred = x - x.mean(1, keepdims=True)
    var = (np.abs(centred) ** 2).mean(1, keepdims=True)
    np.testing.assert_allclose(y, centred / np.sqrt(var + 1e-6), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nnx.BatchNorm, (2, 4), r"BatchNorm takes 3 features on axis -1; it got \[2, 4\]"),
        (nnx.BatchNorm, (), r"BatchNorm takes 3 features on axis -1; it got \[\]"),
        (nnx.LayerNorm, (2, 4), r"LayerNorm takes 3 features on axis -1; it got \[2, 4\]"),
        (nnx.RMSNorm, (2, 4), r"RMSNorm takes 3 features on axis -1; it got \[2, 4\]"),
        (nnx.InstanceNorm, (2, 4), r"InstanceNorm takes 3 features on axis -1; it got \[2, 4\]"),
        (nnx.InstanceNorm, (3,), "cannot be the first, the batch"),
    ],
)
def test_the_wrong_size_is_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(3, rngs=nnx.Rngs(0))(jnp.ones(shape))


def test_groups_must_divide_the_features():
    for arguments, message in [
        ((6, 4), "num_groups=4 does not divide num_features=6"),
        ((6, None, 4), "group_size=4 does not divide num_features=6"),
        ((6, 2, 3), "None for the other"),
        ((6, None), "None for the other"),
    ]:
        with pytest.raises(ValueError, match=message):
            nnx.GroupNorm(*arguments, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"GroupNorm takes 6 features on axis -1; it got \[2, 4\]"):
        nnx.GroupNorm(6, 2, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="must hold the last axis"):
        nnx.GroupNorm(6, 2, reduction_axes=1, rngs=nnx.Rngs(0))(jnp.ones((2, 4, 6)))
    with pytest.raises(ValueError, match=r"LayerNorm takes axis 1 and 5; it got \[2, 6\]"):
        nnx.LayerNorm(6, reduction_axes=(1, 5), rngs=nnx.Rngs(0))(jnp.ones((2, 6)))
