"""Random images, to measure speed without a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nnxtrain.data.assembly import Division, assemble
from nnxtrain.data.source import Splits
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Synthetic:
    """Random bytes with random labels: any size, nothing to learn.

    Args:
      shape: Of an image, ``[height, width, channels]``, or of other inputs.
      num_classes: Number of classes.
      size: Number of examples, those of validation and test (a tenth each) included; they are kept in memory.
      seed: Decides the examples; not the run's seed.

    >>> splits = Synthetic(shape=[8, 8, 3], num_classes=4, size=200).load()
    >>> splits.train.spec.input_shape, splits.train.spec.num_classes, len(splits.train)
    ((8, 8, 3), 4, 160)
    """

    shape: Sequence[int] = field(default_factory=lambda: [32, 32, 3])
    num_classes: int = 10
    size: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise InputError(f"data.shape must be sizes of at least 1, got {list(self.shape)}")
        if self.num_classes < 2 or self.size < 10 * self.num_classes:
            raise InputError(
                "data: at least two classes and ten examples for each are needed, got "
                f"num_classes={self.num_classes} and size={self.size}"
            )

    def load(self) -> Splits:
        """Return the three splits: ``input``, ``uint8[B, *shape]``, and ``label``, ``int32[B]``."""
        generator = np.random.Generator(np.random.Philox(self.seed))
        labels = np.arange(self.size) % self.num_classes
        arrays = {
            "input": generator.integers(0, 256, (self.size, *self.shape), np.uint8),
            "label": generator.permutation(labels).astype(np.int32),
        }
        names = [str(label) for label in range(self.num_classes)]
        division = Division(0.1, 0.1, self.seed)
        return assemble({"train": arrays}, division, class_names=names)
