"""Blank a part of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from nnxtrain.augment.box import BOX_DRAWS, Box, random_box
from nnxtrain.augment.transform import ImageTransform, like


@dataclass(frozen=True, kw_only=True, eq=False)
class _Erasing(ImageTransform):
    """Blanks a box.

    ``fill``, on the 0..1 scale, is what the box then holds; None: each channel's mean over the train split, which a model
    sees as 0.
    """

    fill: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.fill is None or 0.0 <= self.fill <= 1.0, "fill", "between 0 and 1")

    def _erased(self, image: jax.Array, inside: jax.Array) -> jax.Array:
        fill = self.fill if self.fill is not None else self.spec.mean or 0.0
        return jnp.where(inside, like(image, fill), image)


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomErasing(_Erasing):
    """A box of random size and shape (Zhong et al. 2017, https://arxiv.org/abs/1708.04896).

    Args:
      scale: the least and the most share of the image's area.
      ratio: the least and the most width / height.
      fill: what the box then holds, on the 0..1 scale; None: each channel's mean.
    """

    probability: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    row_draws: ClassVar[int] = BOX_DRAWS

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("scale", at_most=1.0)
        self.require_range("ratio")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        height, width = image.shape[:2]
        box, found = random_box(numbers, height, width, self.scale, self.ratio)
        return self._erased(image, found & box.mask(height, width))


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutout(_Erasing):
    """A square around a random pixel, as much of it as lies in the image (DeVries and Taylor 2017,
    https://arxiv.org/abs/1708.04552).

    Args:
      size: the square's side in pixels; the paper has 16 for CIFAR-10.
      fill: what the square then holds, on the 0..1 scale; None: each channel's mean.
    """

    size: int = 16
    row_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.size >= 1, "size", "at least 1")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        height, width = image.shape[:2]
        centre = jnp.floor(numbers * jnp.array([height, width])).astype(jnp.int32)
        top, left = centre - self.size // 2
        side = jnp.int32(self.size)
        return self._erased(image, Box(top, left, side, side).mask(height, width))
