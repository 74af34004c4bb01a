"""Bring images to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from nnxtrain.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

Resize = Literal["squash", "crop"]


def check_image_size(image_size: object) -> None:
    """Raise an InputError unless it is None or ``[height, width]``."""
    if image_size is not None and not (
        isinstance(image_size, Sequence)
        and len(image_size) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in image_size)
    ):
        raise InputError(
            f"data.image_size must be [height, width] in pixels, as [32, 32]; got {image_size!r}"
        )


def resized(image: Image.Image, height: int, width: int, resize: Resize = "squash") -> Image.Image:
    """Return the image at another size, by the bilinear filter, which Pillow widens when it scales down: antialiased.

    ``squash`` changes the proportions where it must; ``crop`` keeps them, and cuts off what is too much at both sides.

    >>> from PIL import Image
    >>> resized(Image.new("RGB", (40, 10)), 20, 30).size
    (30, 20)
    """
    from PIL import Image, ImageOps

    if image.size == (width, height):
        return image
    if resize == "crop":
        return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def resized_array(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The same, squashed, for ``uint8[H, W, C]`` and a shape ``(height, width, channels)``."""
    if image.shape == shape:
        return image
    from PIL import Image

    height, width, channels = shape
    flat = image[..., 0] if channels == 1 else image  # Pillow keeps grey images without an axis
    return np.asarray(resized(Image.fromarray(flat), height, width)).reshape(shape)
