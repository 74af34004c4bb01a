import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.models import ViT

SMALL = {"width": 8, "num_layers": 2, "num_heads": 2}


def build(num_classes=3, input_shape=(8, 12, 2), **options):
    return ViT(num_classes, input_shape=input_shape, rngs=nnx.Rngs(0), **{**SMALL, **options})


run = nnx.jit(lambda model, x: model(x))


def abstract(**options):
    return nnx.eval_shape(lambda: build(**options))


@pytest.mark.parametrize(
    ("width", "num_heads", "parameters"),
    [(192, 3, 5_717_416), (384, 6, 22_050_664), (768, 12, 86_567_656)],
)
def test_parameters_are_as_many_as_known(width, num_heads, parameters):
    model = abstract(
        num_classes=1000,
        input_shape=(224, 224, 3),
        width=width,
        num_heads=num_heads,
        num_layers=12,
    )
    assert (
        sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(model, nnx.Param))) == parameters
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 8, 12, 2)).astype(np.float32)


@pytest.mark.parametrize(("pool", "length"), [("cls", 7), ("mean", 6)])
def test_patches_and_pooling(pool, length, images):
    model = build(pool=pool)
    assert model.positions.shape == (1, length, 8)
    logits = run(model, images)
    assert logits.shape == (4, 3)
    assert (logits == 0).all()  # the classifier starts at 0


def test_patches_are_read_in_their_places(images):
    model = build(pool="mean")
    model.head.kernel.value = jax.random.normal(jax.random.key(1), (8, 3))
    swapped = np.concatenate([images[:, 4:], images[:, :4]], axis=1)
    assert not np.allclose(run(model, images), run(model, swapped), atol=1e-4)
    model.positions.value = jnp.zeros_like(model.positions.value)
    np.testing.assert_allclose(run(model, images), run(model, swapped), atol=1e-5)


def test_what_is_dropped_is_dropped_in_training_alone(images):
    model = build(dropout_rate=0.2, drop_path_rate=0.5)
    assert [block.drop_path.rate for block in model.blocks] == [0.0, 0.5]
    model.head.kernel.value = jnp.ones((8, 3))
    assert (run(model, images) != run(model, images)).any()
    model.eval()
    assert (run(model, images) == run(model, images)).all()


def test_stochastic_depth_leaves_out_whole_examples():
    block = build(drop_path_rate=0.5).blocks[1]
    kept = block.drop_path(jnp.ones((64, 5, 8)))
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert (kept == kept[:, :1, :1]).all()


def test_bfloat16_computes_so_and_keeps_float32():
    model = abstract(dtype="bfloat16")
    x = jax.ShapeDtypeStruct((2, 8, 12, 2), jnp.float32)
    assert nnx.eval_shape(lambda model, x: model(x), model, x).dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model, nnx.Param))} == {np.dtype("float32")}


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"patch_size=16 .* 28x28; these do: 1, 2, 4, 7, 14, 28"):
        abstract(input_shape=(28, 28, 1), patch_size=16)
    with pytest.raises(ValueError, match=r"patch_size=0 does not divide"):
        abstract(patch_size=0)
    with pytest.raises(ValueError, match=r"images \[height, width, channels\].*\[13\]"):
        abstract(input_shape=(13,))
