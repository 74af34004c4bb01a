"""What a model for images asks of its input."""

from __future__ import annotations

from collections.abc import Sequence

SMALL = 96  # pixels: images with a smaller side are looked at in finer steps


def image_shape(input_shape: Sequence[int], model: str) -> tuple[int, int, int]:
    """Return (height, width, channels).

    Raises:
      ValueError: the examples are no images.

    >>> image_shape([28, 28, 1], "LeNet")
    (28, 28, 1)
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"{model} takes images [height, width, channels]; these examples are {list(input_shape)}"
        )
    height, width, channels = input_shape
    return height, width, channels
