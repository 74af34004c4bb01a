"""Change the colours of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from nnxtrain.augment.transform import ImageTransform, unit_scale

# Of red, green and blue in the brightness of a pixel (ITU-R BT.601), rounded as torchvision has them.
LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True, eq=False)
class _ColorTransform(ImageTransform):
    """For grey (one channel) and RGB images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spec.input_shape[-1] not in (1, 3):
            self.refuse("images of 1 or 3 channels")


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorJitter(_ColorTransform):
    """Brightness, contrast, saturation and hue by random amounts, with torchvision's formulas, in this order.

    Args:
      brightness, contrast, saturation: a factor is uniform in ``[max(0, 1 - amount), 1 + amount]``; 0: left alone.
      hue: a shift is uniform in ``[-amount, amount]`` of the colour circle, at most 0.5.

    The result is float32 on the 0..1 scale. Grey images have neither saturation nor hue.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    row_draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_unit_scale()
        for name in ("brightness", "contrast", "saturation"):
            self.require(getattr(self, name) >= 0.0, name, "at least 0")
        self.require(0.0 <= self.hue <= 0.5, "hue", "between 0 and 0.5")

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        image = unit_scale(image)
        if self.brightness:
            image = adjust_brightness(image, _factor(numbers[0], self.brightness))
        if self.contrast:
            image = adjust_contrast(image, _factor(numbers[1], self.contrast))
        if self.saturation:
            image = adjust_saturation(image, _factor(numbers[2], self.saturation))
        if self.hue:
            image = adjust_hue(image, (2 * numbers[3] - 1) * self.hue)
        return image


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomGrayscale(_ColorTransform):
    """All three channels at the pixel's brightness; the result is float32 on the 0..1 scale."""

    probability: float = 0.1

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        image = unit_scale(image)
        return jnp.broadcast_to(luma(image), image.shape)


def adjust_brightness(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Return float32[H, W, C], 0..1, times ``factor``.

    >>> adjust_brightness(jnp.array([[[0.25, 0.75]]]), 2.0).tolist()
    [[[0.5, 1.0]]]
    """
    return jnp.clip(image * factor, 0.0, 1.0)


def adjust_contrast(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Return an image blended with its mean brightness; at ``factor`` 0 nothing else is left."""
    return _blend(image, luma(image).mean(), factor)


def adjust_saturation(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Return an image blended with its grey version; at ``factor`` 0 it is grey."""
    return _blend(image, luma(image), factor) if image.shape[-1] == 3 else image


def adjust_hue(image: jax.Array, shift: jax.Array | float) -> jax.Array:
    """Return an RGB image with its hues moved by ``shift`` of the colour circle (-0.5..0.5), through HSV."""
    if image.shape[-1] != 3:
        return image
    r, g, b = jnp.moveaxis(image, -1, 0)
    value = image.max(-1)
    chroma = value - image.min(-1)
    divisor = jnp.where(chroma == 0.0, 1.0, chroma)
    hue = jnp.where(
        value == r,
        (g - b) / divisor,
        jnp.where(value == g, 2.0 + (b - r) / divisor, 4.0 + (r - g) / divisor),
    )
    # Back from HSV, channel by channel: each falls from value to value - chroma and rises again along the circle.
    place = (jnp.array([5.0, 3.0, 1.0]) + (hue + 6.0 * shift)[..., None]) % 6.0
    share = jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)
    return value[..., None] - chroma[..., None] * share


def luma(image: jax.Array) -> jax.Array:
    """Return the brightness of each pixel, float32[H, W, 1]."""
    if image.shape[-1] != 3:
        return image
    return (image * jnp.array(LUMA)).sum(-1, keepdims=True)


def _factor(number: jax.Array, amount: float) -> jax.Array:
    least = max(0.0, 1.0 - amount)
    return least + number * (1.0 + amount - least)


def _blend(image: jax.Array, other: jax.Array, factor: jax.Array | float) -> jax.Array:
    return jnp.clip(factor * image + (1.0 - factor) * other, 0.0, 1.0)
