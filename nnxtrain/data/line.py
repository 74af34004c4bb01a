"""Points on a noisy line, the smallest data set for regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnxtrain.data.assembly import Division, assemble
from nnxtrain.data.source import Splits
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Line:
    """``y = slope * x + intercept + noise``, with x uniform in -1..1 and normal noise.

    Args:
      size: Number of points, those of validation and test included.
      slope, intercept: Of the line.
      noise: Standard deviation of the noise.
      seed: Decides the points; not the run's seed.

    >>> splits = Line(noise=0.0).load()
    >>> batch = splits.test.batch(np.arange(3))
    >>> bool(np.allclose(batch["target"], 2 * batch["input"]))
    True
    """

    size: int = 1000
    slope: float = 2.0
    intercept: float = 0.0
    noise: float = 0.1
    seed: int = 0

    def load(self) -> Splits:
        """Return the three splits: ``input`` and ``target``, both ``float32[B, 1]``."""
        if self.size < 10 or self.noise < 0:
            raise InputError(
                f"data: size must be at least 10 and noise at least 0, got {self.size} and {self.noise}"
            )
        generator = np.random.Generator(np.random.Philox(self.seed))
        x = generator.uniform(-1, 1, (self.size, 1))
        y = self.slope * x + self.intercept + self.noise * generator.standard_normal((self.size, 1))
        arrays = {"input": x.astype(np.float32), "target": y.astype(np.float32)}
        return assemble({"train": arrays}, Division(0.1, 0.1, self.seed), target_names=["y"])
