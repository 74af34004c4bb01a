"""Colours: beside formulas in NumPy, and the standard library's HSV."""

from __future__ import annotations

import colorsys

import jax
import numpy as np
import pytest

from nnxtrain.augment import ColorJitter, GaussianNoise, RandomGrayscale
from nnxtrain.augment.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from nnxtrain.data import Spec
from nnxtrain.errors import InputError

KEY = jax.random.key(0)
IMAGE = np.random.default_rng(0).random((5, 6, 3)).astype(np.float32)
IMAGE[0, 0] = IMAGE[0, 0, 0]  # grey: no hue
IMAGE[0, 1] = 0.0
IMAGE[0, 2] = (0.7, 0.7, 0.1)  # two channels are the largest
GREY = IMAGE @ np.float32([0.2989, 0.587, 0.114])


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_brightness_contrast_saturation(factor):
    def blend(other):
        return np.clip(factor * IMAGE + (1 - factor) * other, 0, 1)

    np.testing.assert_allclose(adjust_brightness(IMAGE, factor), blend(0.0), atol=1e-6)
    np.testing.assert_allclose(adjust_contrast(IMAGE, factor), blend(GREY.mean()), atol=1e-6)
    np.testing.assert_allclose(adjust_saturation(IMAGE, factor), blend(GREY[..., None]), atol=1e-6)


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.25, 0.5])
def test_hue_is_that_of_hsv(shift):
    expected = np.empty_like(IMAGE)
    for place in np.ndindex(IMAGE.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*IMAGE[place].tolist())
        expected[place] = colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)
    np.testing.assert_allclose(adjust_hue(IMAGE, shift), expected, atol=1e-5)


def test_factors_are_uniform_and_each_rows_own(rgb):
    """A flat image tells its factor: within [1 - amount, 1 + amount], not below 0."""
    flat = np.full((2000, 1, 1, 3), 0.25, np.float32)
    for amount, least in ((0.4, 0.6), (2.0, 0.0)):
        jitter = ColorJitter(brightness=amount, spec=rgb)
        factors = np.asarray(jax.jit(jitter)(KEY, {"input": flat})["input"])[:, 0, 0, 0] / 0.25
        most = 1.0 + amount
        assert factors.min() >= least
        assert factors.max() <= most + 1e-5
        assert factors.mean() == pytest.approx((least + most) / 2, abs=0.05 * (most - least))
        assert factors.std() == pytest.approx((most - least) / np.sqrt(12), rel=0.05)


def test_grey_images_have_brightness_and_contrast_alone(grey):
    images = np.full((4, 2, 2, 1), 51, np.uint8)
    images[:, 0] = 102
    hue = jax.jit(ColorJitter(saturation=0.5, hue=0.5, spec=grey))(KEY, {"input": images})["input"]
    np.testing.assert_allclose(hue, images / np.float32(255), atol=1e-6)
    jitter = ColorJitter(brightness=0.5, contrast=0.5, spec=grey)
    out = jax.jit(jitter)(KEY, {"input": images})["input"]
    assert out.shape == images.shape
    assert len(np.unique(np.asarray(out)[:, 0, 0, 0])) == 4


def test_grayscale(rgb, batch):
    out = np.asarray(jax.jit(RandomGrayscale(probability=1.0, spec=rgb))(KEY, batch)["input"])
    expected = batch["input"] @ np.array([0.2989, 0.587, 0.114]) / 255
    np.testing.assert_allclose(out, expected[..., None].repeat(3, -1), atol=1e-5)


def test_noise_has_the_standard_deviation(rgb):
    images = np.full((6, 50, 50, 3), 0.5, np.float32)
    images[4:] = [[[[0.0]]], [[[1.0]]]]
    out = np.asarray(jax.jit(GaussianNoise(std=0.05, spec=rgb))(KEY, {"input": images})["input"])
    noisy = out[:4]
    assert noisy.mean() == pytest.approx(0.5, abs=0.002)
    assert noisy.std() == pytest.approx(0.05, rel=0.03)
    assert (noisy[0] != noisy[1]).any()
    assert (out[4].min(), out[5].max()) == (0.0, 1.0)


@pytest.mark.parametrize("transform", [ColorJitter, GaussianNoise])
def test_float_images_on_another_scale_are_refused(transform):
    """What these give is cut to 0..1, which would spoil standardized images or numbers up to 255."""

    def images(mean, std):
        return Spec((4, 4, 3), "float32", mean=(mean,) * 3, std=(std,) * 3)

    for spec in (images(0.01, 0.99), images(127.5, 60.0), images(-0.2, 0.3)):
        with pytest.raises(InputError, match=r"needs images on the 0\.\.1 scale; .*means \["):
            transform(spec=spec)
    for spec in (images(0.5, 0.5), images(0.3, 1.0)):  # black and white; all pixels are 0.3
        transform(spec=spec)


def test_refusals(rgb):
    with pytest.raises(InputError, match=r"ColorJitter\.hue must be between 0 and 0\.5, got 0\.6"):
        ColorJitter(hue=0.6, spec=rgb)
    with pytest.raises(
        InputError, match="RandomGrayscale needs images of 1 or 3 channels, the data gives images"
    ):
        RandomGrayscale(spec=Spec((4, 4, 5), "uint8"))
