"""Turn, move, scale and shear images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from nnxtrain.augment.transform import ImageTransform, unit_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomAffine(ImageTransform):
    """About the image's middle; with ``degrees`` alone a random rotation.

    Args:
      degrees: the angle is uniform in ``[-degrees, degrees]``.
      translate: the move is at most these shares of height and width.
      scale: the least and the most factor.
      shear: the angle, in degrees, by which columns lean is uniform in ``[-shear, shear]``.
      interpolation: ``bilinear`` gives float32 on the 0..1 scale, ``nearest`` keeps the dtype.
      fill: what comes in from outside, on the 0..1 scale.
    """

    degrees: float = 0.0
    translate: Sequence[float] = (0.0, 0.0)
    scale: Sequence[float] = (1.0, 1.0)
    shear: float = 0.0
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    fill: float = 0.0
    row_draws: ClassVar[int] = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.degrees >= 0.0, "degrees", "at least 0")
        shares = len(self.translate) == 2 and all(0.0 <= t <= 1.0 for t in self.translate)
        self.require(shares, "translate", "two shares between 0 and 1")
        self.require_range("scale")
        self.require(0.0 <= self.shear < 90.0, "shear", "at least 0 and below 90")
        self.require(0.0 <= self.fill <= 1.0, "fill", "between 0 and 1")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        height, width = image.shape[:2]
        signed = 2.0 * numbers - 1.0
        shift = signed[:2] * jnp.array([self.translate[0] * height, self.translate[1] * width])
        factor = self.scale[0] + numbers[2] * (self.scale[1] - self.scale[0])
        angle, lean = jnp.deg2rad(signed[3] * self.degrees), jnp.deg2rad(signed[4] * self.shear)
        return self._moved(image, shift, factor, angle, lean)

    def _moved(
        self,
        image: jax.Array,
        shift: jax.Array,
        factor: jax.Array,
        angle: jax.Array,
        lean: jax.Array,
    ) -> jax.Array:
        """For each pixel of the result, look up where it comes from: the inverse of shear, scale, turn and move."""
        middle = (jnp.array(image.shape[:2]) - 1) / 2
        ys = jnp.arange(image.shape[0])[:, None] - middle[0] - shift[0]
        xs = jnp.arange(image.shape[1])[None, :] - middle[1] - shift[1]
        y = (jnp.cos(angle) * ys - jnp.sin(angle) * xs) / factor
        x = (jnp.sin(angle) * ys + jnp.cos(angle) * xs) / factor - jnp.tan(lean) * y
        places = [y + middle[0], x + middle[1]]
        order = 1 if self.interpolation == "bilinear" else 0
        image = unit_scale(image) if order else image
        fill = round(self.fill * 255) if image.dtype == jnp.uint8 else self.fill

        def channel(plane: jax.Array) -> jax.Array:
            return map_coordinates(plane, places, order, "constant", fill)

        return jax.vmap(channel, 2, 2)(image)
