"""Cut out a window of random size and shape, and bring it to a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from nnxtrain.augment.box import BOX_DRAWS, Box, random_box
from nnxtrain.augment.transform import ImageTransform, unit_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomResizedCrop(ImageTransform):
    """The usual augmentation of ImageNet (Szegedy et al. 2014, https://arxiv.org/abs/1409.4842), drawn as torchvision does.

    Args:
      size: ``[height, width]`` of the result; None: the image's own. Evaluation sees whole images, so the model must take
        both sizes.
      scale: the least and the most share of the image's area.
      ratio: the least and the most width / height of the window.

    The result is float32 on the 0..1 scale, interpolated linearly, with antialiasing where it gets smaller.
    """

    size: Sequence[int] | None = None
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    row_draws: ClassVar[int] = BOX_DRAWS

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("scale", at_most=1.0)
        self.require_range("ratio")
        if self.size is not None:
            holds = len(self.size) == 2 and min(self.size) >= 1
            self.require(holds, "size", "[height, width]")
            self.require(self.probability in (0.0, 1.0), "probability", "1 where there is a size")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        height, width = image.shape[:2]
        drawn, found = random_box(numbers, height, width, self.scale, self.ratio)
        whole = central_box(height, width, self.ratio)
        box = jax.tree.map(lambda a, b: jnp.where(found, a, b), drawn, whole)
        return resized(unit_scale(image), box, self.size or (height, width))


def central_box(height: int, width: int, ratio: Sequence[float]) -> Box:
    """The largest box in the middle whose width / height is within ``ratio``."""
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    numbers = ((height - h) // 2, (width - w) // 2, h, w)
    return Box(*(jnp.int32(number) for number in numbers))


def resized(image: jax.Array, box: Box, size: Sequence[int]) -> jax.Array:
    """Return the box of a float image [H, W, C] as float32[*size, C]: what PIL's crop and bilinear resize give."""
    rows = _weights(image.shape[0], box.top, box.height, size[0])
    columns = _weights(image.shape[1], box.left, box.width, size[1])
    # Matrix products on whole planes: they are the same program for windows of all sizes, and can smooth.
    planes = jnp.matmul(rows, jnp.moveaxis(image, -1, 0), precision="highest")
    return jnp.moveaxis(jnp.matmul(planes, columns.T, precision="highest"), 0, -1)


def _weights(length: int, start: jax.Array, extent: jax.Array, size: int) -> jax.Array:
    """What each of ``size`` places takes of each of ``length`` pixels, float32[size, length]: a triangle, inside the box."""
    step = extent / size
    centre = start + (jnp.arange(size) + 0.5) * step
    pixel = jnp.arange(length)
    distance = jnp.abs(pixel + 0.5 - centre[:, None]) / jnp.maximum(step, 1.0)
    inside = (pixel >= start) & (pixel < start + extent)
    weights = jnp.where(inside, jnp.maximum(1.0 - distance, 0.0), 0.0)
    return weights / weights.sum(1, keepdims=True)
