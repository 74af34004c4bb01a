"""Flips and crops: what moves pixels."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from nnxtrain.augment import HorizontalFlip, RandomCrop, VerticalFlip
from nnxtrain.errors import InputError

KEY = jax.random.key(0)


@pytest.mark.parametrize(("flip", "axis"), [(HorizontalFlip, 2), (VerticalFlip, 1)])
def test_flip(rgb, batch, flip, axis):
    always = flip(probability=1.0, spec=rgb)
    once = jax.jit(always)(KEY, batch)
    np.testing.assert_array_equal(once["input"], np.flip(batch["input"], axis))
    assert once["input"].dtype == np.uint8
    np.testing.assert_array_equal(jax.jit(always)(KEY, once)["input"], batch["input"])
    np.testing.assert_array_equal(once["label"], batch["label"])


def test_a_share_of_the_rows_is_flipped(rgb):
    images = np.zeros((2000, 1, 2, 1), np.uint8)
    images[:, 0, 1] = 1
    flipped = jax.jit(HorizontalFlip(probability=0.3, spec=rgb))(KEY, {"input": images})["input"]
    flipped = np.asarray(flipped)[:, 0, 0, 0] == 1
    assert flipped.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 2000))


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect")]
)
def test_a_padded_crop_is_a_window_of_what_numpy_pads(rgb, batch, mode, numpy_mode):
    images = batch["input"]
    crop = RandomCrop(padding=3, padding_mode=mode, spec=rgb)
    out = np.asarray(jax.jit(crop)(KEY, batch)["input"])
    assert (out.shape, out.dtype) == (images.shape, np.uint8)
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), mode=numpy_mode)
    places = {find(window, whole) for window, whole in zip(out, padded)}
    assert len(places) > 8


def find(window: np.ndarray, whole: np.ndarray) -> tuple[int, int]:
    height, width = window.shape[:2]
    for top in range(whole.shape[0] - height + 1):
        for left in range(whole.shape[1] - width + 1):
            if np.array_equal(whole[top : top + height, left : left + width], window):
                return top, left
    raise AssertionError("the window is nowhere in the image")


def test_every_place_of_a_crop_is_as_likely(rgb):
    """Numbers as pixels tell the place: 3 rows and 4 columns of places."""
    images = np.tile(np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1), (6000, 1, 1, 1))
    crop = RandomCrop(size=[1, 1], spec=rgb)
    counts = np.bincount(
        np.asarray(jax.jit(crop)(KEY, {"input": images})["input"]).ravel(), minlength=12
    )
    assert counts.min() > 400
    assert counts.max() < 600


def test_crop_to_another_size_and_fill(rgb, batch):
    crop = RandomCrop(size=[12, 5], padding=2, fill=1.0, spec=rgb)
    out = np.asarray(jax.jit(crop)(KEY, batch)["input"])
    assert out.shape == (16, 12, 5, 3)
    assert (out[:, [0, 1, 10, 11]] == 255).all()


def test_grey_and_float_images(grey):
    images = np.random.default_rng(0).random((4, 8, 10, 1), np.float32)
    out = jax.jit(RandomCrop(padding=2, fill=0.25, spec=grey))(KEY, {"input": images})["input"]
    assert out.dtype == np.float32
    assert (np.asarray(out) == 0.25).any()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"padding": -1}, "RandomCrop.padding must be at least 0, got -1"),
        ({"padding": 8, "padding_mode": "reflect"}, "RandomCrop.padding must be at most 7, got 8"),
        ({"size": [13, 4], "padding": 2}, "size must be [height, width] of at most [12, 14], got [13, 4]"),
        ({"size": [4]}, "RandomCrop.size must be [height, width] of at most [8, 10]"),
        ({"fill": 255}, "RandomCrop.fill must be between 0 and 1, got 255"),
        ({"probability": 1.5}, "RandomCrop.probability must be between 0 and 1, got 1.5"),
        ({"size": [4, 4], "probability": 0.5}, "RandomCrop.probability must be 1 where there is a size"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(rgb, arguments, line):
    with pytest.raises(InputError) as caught:
        RandomCrop(**arguments, spec=rgb)
    assert line in str(caught.value)
