import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.models import ResNet
from nnxtrain.models.resnet import BasicBlock


def abstract(num_classes=1000, input_shape=(224, 224, 3), **options):
    return nnx.eval_shape(
        lambda: ResNet(num_classes, input_shape=input_shape, rngs=nnx.Rngs(0), **options)
    )


def count(model):
    return sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("depth", "parameters"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)]
)
def test_parameters_are_as_many_as_torchvisions(depth, parameters):
    assert count(abstract(depth=depth)) == parameters


def test_the_form_for_small_images():
    # 3x3 stem; stages of 16, 32, 64 channels, one 1x1 convolution where they change; classifier.
    convs = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2)
    ways_around = 16 * 32 + 32 * 64
    norms = 2 * (16 * 7 + 32 * 7 + 64 * 7)
    model = abstract(10, (32, 32, 3), depth=20)
    assert count(model) == convs + ways_around + norms + 64 * 10 + 10
    assert len(model.blocks) == 9


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"input_shape": (32, 32, 3)}, [32, 16, 8, 4]),
        ({"input_shape": (224, 224, 3)}, [56, 28, 14, 7]),
        ({"input_shape": (64, 64, 3), "stem": "imagenet"}, [16, 8, 4, 2]),
        ({"input_shape": (101, 97, 1), "width": 4, "stem": "imagenet"}, [26, 13, 7, 4]),
    ],
)
def test_the_stem_follows_the_images_size(options, sizes, monkeypatch):
    seen, call = [], BasicBlock.__call__
    monkeypatch.setattr(BasicBlock, "__call__", lambda b, x: seen.append(call(b, x)) or seen[-1])
    x = jax.ShapeDtypeStruct((2, *options["input_shape"]), jnp.float32)
    logits = nnx.eval_shape(lambda model, x: model(x), abstract(5, **options), x)
    assert logits.shape == (2, 5)
    assert [y.shape[1] for y in seen[1::2]] == sizes


@pytest.fixture(scope="module")
def tiny():
    return ResNet(3, input_shape=(9, 8, 2), depth=8, width=2, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 9, 8, 2)).astype(np.float32)


def test_each_block_starts_as_the_way_around_it(tiny, images):
    x = jnp.abs(images)
    assert (nnx.jit(lambda block, x: block(x))(tiny.blocks[0], x) == x).all()
    block = BasicBlock(2, 2, zero_init=False, rngs=nnx.Rngs(0))
    assert (block.norm2.scale.value == 1).all()


def test_training_normalizes_by_the_batch_and_evaluation_by_what_was_seen(tiny, images):
    run = nnx.jit(lambda model, x: model(x))
    model = nnx.clone(tiny)
    before = model.norm.mean.value
    model.train()
    alone, together = run(model, images[:1]), run(model, images)
    assert not np.allclose(alone[0], together[0], atol=1e-3)
    assert (model.norm.mean.value != before).any()
    model.eval()
    before = model.norm.mean.value
    np.testing.assert_allclose(run(model, images[:1])[0], run(model, images)[0], atol=1e-5)
    assert (model.norm.mean.value == before).all()


def test_bfloat16_computes_so_and_keeps_float32():
    model = abstract(3, (8, 8, 1), depth=8, width=2, dtype="bfloat16")
    x = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
    assert nnx.eval_shape(lambda model, x: model(x), model, x).dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"18, 34, 50, 101, 152, or 6n \+ 2 .*; it got 19"):
        abstract(depth=19)
    with pytest.raises(ValueError, match=r"takes images \[height, width, channels\].*\[13\]"):
        abstract(input_shape=(13,))
