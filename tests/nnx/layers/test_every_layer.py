"""What holds for every layer: abstract building, jit, split and merge, vmap, gradients, pickling, dtypes."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx

IMAGE, ROW, INDICES = ((2, 6, 6, 4), "float32"), ((2, 3, 4), "float32"), ((2, 3), "int32")

LAYERS = {
    "Linear": (lambda **k: nnx.Linear(4, 3, **k), ROW),
    "LinearGeneral": (lambda **k: nnx.LinearGeneral(4, (2, 3), **k), ROW),
    "Einsum": (lambda **k: nnx.Einsum("nta,ab->ntb", (4, 3), (3,), **k), ROW),
    "Conv": (lambda **k: nnx.Conv(4, 3, (3, 3), padding="CIRCULAR", **k), IMAGE),
    "ConvTranspose": (lambda **k: nnx.ConvTranspose(4, 3, (3, 3), 2, **k), IMAGE),
    "Embed": (lambda **k: nnx.Embed(7, 4, **k), INDICES),
    "BatchNorm": (lambda **k: nnx.BatchNorm(4, **k), ROW),
    "LayerNorm": (lambda **k: nnx.LayerNorm(4, **k), ROW),
    "RMSNorm": (lambda **k: nnx.RMSNorm(4, **k), ROW),
    "GroupNorm": (lambda **k: nnx.GroupNorm(4, 2, **k), IMAGE),
    "InstanceNorm": (lambda **k: nnx.InstanceNorm(4, **k), IMAGE),
    "LoRA": (lambda **k: nnx.LoRA(4, 2, 3, **k), ROW),
    "LoRALinear": (lambda **k: nnx.LoRALinear(4, 3, lora_rank=2, **k), ROW),
    "PReLU": (lambda rngs, **k: nnx.PReLU(**k), ROW),
    "WeightNorm": (lambda rngs, **k: nnx.WeightNorm(nnx.Linear(4, 3, rngs=rngs), rngs=rngs, **k), ROW),
    "SpectralNorm": (
        lambda rngs, **k: nnx.SpectralNorm(nnx.Linear(4, 3, rngs=rngs), rngs=rngs, **k),
        ROW,
    ),
    "Dropout": (lambda rngs, **k: nnx.Dropout(0.5, rngs=rngs), ROW),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", LAYERS)


def make(name, **kwargs):
    build, (shape, dtype) = LAYERS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) if dtype == "float32" else rng.integers(0, 7, shape)
    return build(rngs=nnx.Rngs(0), **kwargs), jnp.asarray(x, dtype)


def values(model):
    return {
        path: np.asarray(leaf)
        for path, leaf in nnx.to_flat_state(nnx.state(model))
        if "key" not in path
    }


def assert_same(a, b):
    assert a.keys() == b.keys()
    for path, value in a.items():
        np.testing.assert_allclose(value, b[path], rtol=1e-5, atol=1e-6, err_msg=str(path))


@EVERY
def test_is_built_without_compute(name):
    abstract = nnx.eval_shape(lambda: make(name)[0])
    concrete, _ = make(name)
    assert nnx.graphdef(abstract) == nnx.graphdef(concrete)
    shapes = jax.tree.map(lambda a: (a.shape, a.dtype), nnx.to_pure_dict(nnx.state(concrete)))
    assert shapes == jax.tree.map(
        lambda a: (a.shape, a.dtype), nnx.to_pure_dict(nnx.state(abstract))
    )


@EVERY
def test_runs_compiled_with_the_same_effects(name):
    plain, x = make(name)
    compiled, _ = make(name)
    run = nnx.jit(lambda m, x: m(x))
    for _ in range(2):
        np.testing.assert_allclose(run(compiled, x), plain(x), rtol=1e-5, atol=1e-5)
    assert_same(values(compiled), values(plain))


@EVERY
def test_survives_split_merge_clone_and_pickle(name):
    model, x = make(name)
    copies = [nnx.merge(*nnx.split(model)), nnx.clone(model), pickle.loads(pickle.dumps(model))]
    for copy in copies:
        assert nnx.graphdef(copy) == nnx.graphdef(model)
    expected = model(x)
    for copy in copies:
        np.testing.assert_array_equal(copy(x), expected)
        assert_same(values(copy), values(model))


@EVERY
def test_evaluates_frozen(name):
    model, x = make(name)
    model.eval()
    with nnx.frozen(model):
        expected = model(x)
    np.testing.assert_array_equal(model(x), expected)


@EVERY
def test_maps_over_examples(name):
    """In evaluation nothing is random or averaged, so that mapping over the batch is calling on it."""
    model, x = make(name)
    model.eval()
    mapped = jax.vmap(lambda x: model(x[None])[0])(x)
    np.testing.assert_allclose(mapped, model(x), rtol=1e-5, atol=1e-5)


@EVERY
def test_an_ensemble_by_vmap(name):
    """Weights stacked on a leading axis give as many outputs."""
    model, x = make(name)
    model.eval()
    graphdef, state = nnx.split(model)
    stacked = jax.tree.map(lambda a: jnp.stack([a, a]), state)
    y = jax.vmap(lambda state: nnx.merge(graphdef, state)(x))(stacked)
    np.testing.assert_allclose(y, jnp.stack([model(x)] * 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Dropout"])  # it has neither
def test_dtype_computes_and_param_dtype_stores(name):
    wrapper = name in ("WeightNorm", "SpectralNorm")
    if not wrapper:  # what the wrapped layer computes in is its own business
        kwargs = {"lora_dtype": jnp.bfloat16} if name == "LoRALinear" else {}
        model, x = make(name, dtype=jnp.bfloat16, **kwargs)
        assert model(x).dtype == jnp.bfloat16
        assert {v.value.dtype.name for v in params(model)} == {"float32"}
    kwargs = {"lora_param_dtype": jnp.bfloat16} if name == "LoRALinear" else {}
    half, x = make(name, param_dtype=jnp.bfloat16, **kwargs)
    own = [v for p, v in nnx.to_flat_state(nnx.state(half, nnx.Param)) if p[0] != "layer_instance"]
    assert {v.value.dtype.name for v in own} <= {"bfloat16"}
    if jnp.issubdtype(x.dtype, jnp.floating) and not wrapper:
        assert half(x).dtype == jnp.float32
        if name != "BatchNorm":  # whose statistics are float32
            assert half(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def params(model):
    return [v for _, v in nnx.to_flat_state(nnx.state(model, nnx.Param))]


@EVERY
def test_parameters_get_finite_gradients(name):
    model, x = make(name)
    grads = nnx.grad(lambda m: jnp.square(m(x).astype(jnp.float32)).sum())(model)
    for path, leaf in nnx.to_flat_state(grads):
        assert np.isfinite(leaf.value).all(), path
