"""What holds for every transform: pure, by key and row, the same in slices, one program, clear refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
import pytest

from nnxtrain import augment
from nnxtrain.augment import Chain, Identity, ImageTransform, Transform, batch_key, row_numbers
from nnxtrain.config import check, compose, list_options, resolve
from nnxtrain.data import Spec
from nnxtrain.errors import InputError

KEY = jax.random.key(7)
ROWS = {
    "HorizontalFlip": {"probability": 0.5},
    "VerticalFlip": {"probability": 0.5},
    "RandomCrop": {"padding": 2},
    "RandomResizedCrop": {},
    "RandomAffine": {"degrees": 20.0},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "RandomGrayscale": {"probability": 0.5},
    "RandomErasing": {},
    "Cutout": {"size": 4},
    "GaussianNoise": {},
}
OPTIONS = list_options("augment")


def build(name, spec, **arguments):
    return getattr(augment, name)(**{**ROWS[name], **arguments}, spec=spec)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_depends_on_its_image_its_number_and_the_key_alone(name, rgb, batch):
    transform = build(name, rgb)
    apply = jax.jit(transform.apply)  # what a call does with the numbers of its rows
    numbers = row_numbers(KEY, 16, transform.draws)
    whole = np.asarray(apply(numbers, batch)["input"])
    # The rows in another order, and other rows around rows 5 to 8: each comes out as it did.
    order = np.random.default_rng(0).permutation(16)
    moved = apply(numbers[order], {**batch, "input": batch["input"][order]})["input"]
    np.testing.assert_array_equal(moved, whole[order])
    others = {**batch, "input": batch["input"][::-1].copy()}
    others["input"][5:9] = batch["input"][5:9]
    np.testing.assert_array_equal(apply(numbers, others)["input"][5:9], whole[5:9])
    assert not np.array_equal(apply(numbers[::-1], batch)["input"], whole)
    alike = {**batch, "input": np.tile(batch["input"][:1], (16, 1, 1, 1))}
    assert len({row.tobytes() for row in np.asarray(apply(numbers, alike)["input"])}) > 1


def test_a_call_draws_the_numbers_of_its_rows(rgb, batch):
    flip = build("HorizontalFlip", rgb)
    expected = flip.apply(row_numbers(KEY, 16, flip.draws), batch)["input"]
    np.testing.assert_array_equal(flip(KEY, batch)["input"], expected)
    assert not np.array_equal(flip(jax.random.key(8), batch)["input"], expected)


@pytest.mark.parametrize("name", ROWS)
def test_probability_0_is_the_identity(name, rgb, batch):
    out = build(name, rgb, probability=0.0)(KEY, batch)
    assert out["input"].dtype == np.uint8
    np.testing.assert_array_equal(out["input"], batch["input"])


@pytest.mark.parametrize("name", ROWS)
def test_what_is_no_image_is_refused(name):
    row, text = Spec((3,), "float32"), Spec((4, 4, 4), "int32", vocab_size=5)
    with pytest.raises(
        InputError,
        match=rf"{name} needs images \[height, width, channels\].*examples \[3\]; leave it out, or use augment=none",
    ):
        build(name, row)
    with pytest.raises(InputError, match="the data gives sequences"):
        build(name, text)


@pytest.mark.parametrize("option", OPTIONS)
def test_shipped_options_run_as_one_program(option, batch):
    config = compose([f"augment={option}"])
    check(config)
    channels = 1 if option in ("fashion", "digits") else 3
    spec = Spec((8, 10, channels), "uint8", 4, mean=(0.5,) * channels, std=(0.2,) * channels)
    transform = resolve(config.augment, spec=spec)
    traced = []

    @jax.jit
    def step(step, batch):
        traced.append(step)
        return transform(batch_key(0, step), batch)

    batch = {**batch, "input": batch["input"][..., :channels]}
    outs = [step(number, batch)["input"] for number in (0, 1)]
    assert len(traced) == 1
    assert outs[0].shape == batch["input"].shape
    assert isinstance(transform, Transform)
    assert (option == "none") == np.array_equal(outs[0], outs[1])


def test_a_batch_key_is_of_seed_and_step():
    keys = {
        jax.random.key_data(batch_key(seed, step)).tobytes() for seed in (0, 1) for step in (0, 1)
    }
    assert len(keys) == 4
    inside = jax.jit(lambda step: batch_key(0, step))(1)
    assert jax.random.key_data(inside).tobytes() == jax.random.key_data(batch_key(0, 1)).tobytes()


def test_a_chain_goes_in_order_and_draws_at_once(rgb, batch):
    crop, flip = build("RandomCrop", rgb), build("HorizontalFlip", rgb)
    chain = Chain(crop=crop, none=None, flip=flip)
    numbers = row_numbers(KEY, 16, crop.draws + flip.draws)

    @jax.jit
    def by_hand(numbers, batch):
        cropped = crop.apply(numbers[:, : crop.draws], batch)
        return flip.apply(numbers[:, crop.draws :], cropped)["input"]

    out = jax.jit(chain)(KEY, batch)["input"]
    np.testing.assert_array_equal(out, by_hand(numbers, batch))
    assert Identity()(KEY, batch) is batch


def test_a_configuration_changes_one_of_a_chain(rgb):
    config = compose(["augment=flip_crop", "augment.crop.padding=2", "augment.flip=null"])
    check(config)
    chain = resolve(config.augment, spec=rgb)
    assert [transform.padding for transform in chain.transforms] == [2]
    with pytest.raises(InputError, match=r"Chain takes transforms .*, 'x' is of type int"):
        Chain(x=3)
    with pytest.raises(InputError, match="no argument 'paddin'; did you mean 'padding'"):
        check(compose(["augment=flip_crop", "augment.crop.paddin=2"]))


def test_over_several_devices_the_numbers_are_the_same(rgb, batch):
    from nnxtrain.augment import MixUp

    chain = Chain(
        crop=build("RandomCrop", rgb), flip=build("HorizontalFlip", rgb), mix=MixUp(spec=rgb)
    )
    alone = jax.jit(chain)(KEY, batch)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    spread = jax.jit(chain)(KEY, jax.device_put(batch, rows))
    for name in batch:
        np.testing.assert_allclose(spread[name], alone[name], atol=1e-6)


def test_a_transform_of_ones_own(rgb, batch):
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Darken(ImageTransform):
        least: float = 0.5
        row_draws: ClassVar[int] = 1

        def row(self, numbers, image):
            share = self.least + numbers[0] * (1.0 - self.least)
            return (image * share).astype(image.dtype)

    chain = Chain(flip=build("HorizontalFlip", rgb), dark=Darken(least=0.0, spec=rgb))
    out = np.asarray(jax.jit(chain)(KEY, batch)["input"])
    means = out.mean((1, 2, 3)) / batch["input"].mean((1, 2, 3))
    assert means.std() > 0.15
    assert means.max() <= 1.0
