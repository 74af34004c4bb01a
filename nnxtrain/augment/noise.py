"""Add noise to images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from nnxtrain.augment.transform import ImageTransform, unit_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianNoise(ImageTransform):
    """Independent normal noise on each pixel and channel; the result is float32, kept within 0..1.

    Args:
      std: its standard deviation on the 0..1 scale.
    """

    std: float = 0.05
    row_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_unit_scale()
        self.require(self.std >= 0.0, "std", "at least 0")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        # The bits of the row's numbers are a key of its own: an image takes thousands of further ones.
        words = jax.lax.bitcast_convert_type(numbers, jnp.uint32)
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        noise = jax.random.normal(key, image.shape)
        return jnp.clip(unit_scale(image) + self.std * noise, 0.0, 1.0)
