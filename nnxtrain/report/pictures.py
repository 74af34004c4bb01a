"""Inputs as PNG files inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np


def picture(array: np.ndarray) -> str | None:
    """Return an image as a ``data:`` address of a PNG; None for what is no image.

    Args:
      array: [H, W, C] with 1, 3 or 4 channels, or [H, W]; uint8, or numbers, whose range is spread over black to white.
    """
    from PIL import Image

    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or min(array.shape[:2]) < 4:
        return None
    if array.dtype != np.uint8:
        values = array.astype(np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        array = np.nan_to_num((values - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    image.thumbnail((256, 256))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
