"""Rectangles at random places: what is cropped, erased or taken from another image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

ATTEMPTS = 10
BOX_DRAWS = 2 * ATTEMPTS + 2  # random numbers for a box


class Box(NamedTuple):
    """Its first row and column and its size, int32[]."""

    top: jax.Array
    left: jax.Array
    height: jax.Array
    width: jax.Array

    def mask(self, height: int, width: int) -> jax.Array:
        """Which pixels of an image lie in it, bool[height, width, 1]."""
        y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
        rows = (y >= self.top) & (y < self.top + self.height)
        return rows & (x >= self.left) & (x < self.left + self.width)


def random_box(
    numbers: jax.Array, height: int, width: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[Box, jax.Array]:
    """Return a box within an image, and whether one was found, as torchvision draws it for RandomResizedCrop, from
    ``numbers`` float32[BOX_DRAWS], uniform in [0, 1).

    Its share of the area is uniform in ``scale``, the logarithm of width / height uniform in that of ``ratio``. Of ten such
    sizes the first that fits is taken, at a uniform place.
    """
    area = height * width * (scale[0] + numbers[:ATTEMPTS] * (scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = jnp.exp(low + numbers[ATTEMPTS:-2] * (high - low))
    widths = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
    heights = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = jnp.argmax(fits)
    h, w = heights[first], widths[first]
    top = jnp.floor(numbers[-2] * (height - h + 1)).astype(jnp.int32)
    left = jnp.floor(numbers[-1] * (width - w + 1)).astype(jnp.int32)
    return Box(top, left, h, w), fits[first]
