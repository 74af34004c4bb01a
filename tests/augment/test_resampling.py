"""Resized crops beside Pillow's, affine maps beside SciPy's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from nnxtrain.augment import RandomAffine, RandomResizedCrop
from nnxtrain.augment.box import BOX_DRAWS, Box, random_box
from nnxtrain.augment.resized_crop import central_box, resized
from nnxtrain.errors import InputError

KEY = jax.random.key(0)
NUMBERS = np.random.default_rng(0).random(BOX_DRAWS, np.float32)


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 8, 10), (8, 10)), ((1, 2, 5, 6), (8, 10)), ((2, 0, 6, 9), (4, 3)), ((3, 4, 1, 1), (2, 2))],
)  # fmt: skip
def test_a_resized_crop_is_pillows(batch, box, size):
    image = batch["input"][0]
    top, left, height, width = box
    cut = Image.fromarray(image).crop((left, top, left + width, top + height))
    expected = np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR))
    out = jax.jit(resized, static_argnums=2)(jnp.float32(image), Box(*map(jnp.int32, box)), size)
    np.testing.assert_allclose(out, expected, atol=1.01)  # Pillow rounds to bytes, twice


def test_sizes_and_places_of_boxes():
    draw = jax.jit(jax.vmap(lambda numbers: random_box(numbers, 100, 120, (0.1, 0.5), (0.5, 2.0))))
    box, found = jax.tree.map(np.asarray, draw(jax.random.uniform(KEY, (4000, BOX_DRAWS))))
    assert found.mean() > 0.999
    share, ratio = box.height * box.width / 12000, box.width / box.height
    assert (share > 0.095).all()
    assert (share < 0.51).all()
    assert share.mean() == pytest.approx(0.3, abs=0.01)
    assert (ratio > 0.48).all()
    assert (ratio < 2.1).all()
    assert np.log(ratio).mean() == pytest.approx(0.0, abs=0.03)
    assert (box.top >= 0).all()
    assert (box.top + box.height <= 100).all()
    assert (box.left >= 0).all()
    assert (box.left + box.width <= 120).all()
    assert (box.top / np.maximum(100 - box.height, 1)).mean() == pytest.approx(0.5, abs=0.02)


def test_where_no_box_fits_the_middle_is_taken(rgb):
    """A window as large as the image and three times as wide as it is high fits nowhere."""
    draw = jax.jit(lambda numbers: random_box(numbers, 8, 10, (1.0, 1.0), (3.0, 3.0)))
    assert not draw(NUMBERS)[1]
    assert tuple(map(int, central_box(8, 10, (3.0, 3.0)))) == (2, 0, 3, 10)
    assert tuple(map(int, central_box(8, 10, (0.5, 0.5)))) == (0, 3, 8, 4)
    crop = RandomResizedCrop(scale=[1.0, 1.0], ratio=[3.0, 3.0], size=[3, 10], spec=rgb)
    image = np.random.default_rng(0).random((8, 10, 3), np.float32)
    np.testing.assert_allclose(jax.jit(crop.row)(NUMBERS, image), image[2:5], atol=1e-6)


def test_the_whole_image_at_its_own_size_is_the_image(rgb, batch):
    crop = RandomResizedCrop(scale=[1.0, 1.0], ratio=[1.25, 1.25], spec=rgb)
    out = jax.jit(crop.row)(NUMBERS, batch["input"][0])
    np.testing.assert_allclose(out, np.float32(batch["input"][0]) / 255, atol=1e-6)


@pytest.mark.parametrize(("order", "interpolation"), [(1, "bilinear"), (0, "nearest")])
def test_an_affine_map_is_scipys(rgb, order, interpolation):
    image = np.random.default_rng(1).random((8, 10, 3), np.float32)
    transform = RandomAffine(interpolation=interpolation, fill=0.3, spec=rgb)
    shift, factor, angle, lean = np.array([1.3, -0.6]), 1.2, 0.4, 0.2
    out = jax.jit(transform._moved)(image, *map(jnp.float32, (shift, factor, angle, lean)))
    # Forward, on (row, column): shear, then scale and turn, then move. SciPy wants the inverse.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, 0.0], [np.tan(lean), 1.0]])
    inverse = np.linalg.inv(factor * turn @ shear)
    middle = (np.array([8, 10]) - 1) / 2
    offset = middle - inverse @ (middle + shift)
    for channel in range(3):
        plane = image[..., channel]
        expected = ndimage.affine_transform(
            plane, inverse, offset, order=order, mode="grid-constant", cval=0.3
        )
        np.testing.assert_allclose(out[..., channel], expected, atol=1e-5)


def test_nothing_to_do_leaves_the_image(rgb, batch):
    image = batch["input"][0]
    nearest = jax.jit(RandomAffine(interpolation="nearest", spec=rgb).row)(NUMBERS, image)
    assert nearest.dtype == np.uint8
    np.testing.assert_array_equal(nearest, image)
    bilinear = jax.jit(RandomAffine(spec=rgb).row)(NUMBERS, image)
    np.testing.assert_allclose(bilinear, np.float32(image) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("transform", "arguments", "line"),
    [
        (RandomResizedCrop, {"scale": [0.5, 1.5]}, "scale must be [least, most], above 0 and at most 1, got [0.5, 1.5]"),
        (RandomResizedCrop, {"ratio": [2.0, 1.0]}, "RandomResizedCrop.ratio must be [least, most], above 0, got [2.0, 1.0]"),
        (RandomResizedCrop, {"size": [8]}, "RandomResizedCrop.size must be [height, width], got [8]"),
        (RandomAffine, {"translate": [0.1, 3]}, "RandomAffine.translate must be two shares between 0 and 1"),
        (RandomAffine, {"shear": 90}, "RandomAffine.shear must be at least 0 and below 90, got 90"),
    ],
)  # fmt: skip
def test_arguments_out_of_range(rgb, transform, arguments, line):
    with pytest.raises(InputError) as caught:
        transform(**arguments, spec=rgb)
    assert line in str(caught.value)
