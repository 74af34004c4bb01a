"""Cut a window of fixed size out of an image that may be padded first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from nnxtrain.augment.transform import ImageTransform, like


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomCrop(ImageTransform):
    """A window at a random place: with ``padding=4`` the usual augmentation of CIFAR (He et al. 2015,
    https://arxiv.org/abs/1512.03385).

    Args:
      size: ``[height, width]`` of the window; None: the image's own. Evaluation sees whole
        images, so the model must take both sizes.
      padding: pixels added on each side before.
      padding_mode: what is added: ``constant`` (``fill``), ``edge`` (the nearest pixel), ``reflect`` (mirrored, without the
        edge twice).
      fill: on the 0..1 scale.
    """

    size: Sequence[int] | None = None
    padding: int = 0
    padding_mode: Literal["constant", "edge", "reflect"] = "constant"
    fill: float = 0.0
    row_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = self.spec.input_shape[:2]
        limit = min(height, width) - 1 if self.padding_mode == "reflect" else None
        self.require(self.padding >= 0, "padding", "at least 0")
        self.require(limit is None or self.padding <= limit, "padding", f"at most {limit}")
        self.require(0.0 <= self.fill <= 1.0, "fill", "between 0 and 1")
        if self.size is not None:
            most = [height + 2 * self.padding, width + 2 * self.padding]
            fits = len(self.size) == 2 and all(1 <= n <= m for n, m in zip(self.size, most))
            self.require(fits, "size", f"[height, width] of at most {most}")
            whole = self.probability in (0.0, 1.0)
            self.require(whole, "probability", "1 where there is a size")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        sides = self.size or image.shape[:2]
        (ys, within_y), (xs, within_x) = (
            self._indices(number, length, side)
            for number, length, side in zip(numbers, image.shape, sides)
        )
        window = image[ys[:, None], xs[None, :]]
        if self.padding == 0 or self.padding_mode != "constant":
            return window
        inside = within_y[:, None, None] & within_x[None, :, None]
        return jnp.where(inside, window, like(image, self.fill))

    def _indices(self, number: jax.Array, length: int, side: int) -> tuple[jax.Array, jax.Array]:
        """Along one axis: the source's index for each place of the window, and whether it is in the image."""
        places = length + 2 * self.padding - side + 1
        start = jnp.floor(number * places).astype(jnp.int32) - self.padding
        index = start + jnp.arange(side)
        within = (index >= 0) & (index < length)
        if self.padding_mode == "reflect":
            last = length - 1
            return last - jnp.abs(last - jnp.abs(index)), within
        return jnp.clip(index, 0, length - 1), within
