"""What a model and a task need to know about a data set before they see any of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """Shapes, classes and statistics of a data set.

    Attributes:
      input_shape: Shape of one example, without the batch axis: ``(height, width, channels)``.
      input_dtype: Name of the examples' dtype, as stored (``"uint8"`` for images).
      num_classes: Number of classes; labels are ``0 .. num_classes - 1``.
      class_names: Name of each class, in the order of the labels.
      mean: Mean of each channel over the train split, on the 0..1 scale.
      std: Standard deviation of each channel over the train split, on the 0..1 scale (the
        population's, divided by N); 1.0 for a channel that is constant, so that one can divide by
        it.
    """

    input_shape: tuple[int, ...]
    input_dtype: str
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
