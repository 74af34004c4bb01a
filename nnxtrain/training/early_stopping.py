"""Stop when the monitored score has not become better for a number of evaluations (Prechelt 1998)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nnxtrain.training.monitor import Monitor


@dataclass
class EarlyStopping:
    """Counts evaluations in a row without a better score.

    Args:
      monitor: which way is better.
      patience: how many such evaluations end the training; None: it never ends early.
      min_delta: by how much a score must be better.
      best: the score that is to be beaten.
      waited: evaluations since it was reached.

    >>> early = EarlyStopping(Monitor("loss", "min"), patience=2)
    >>> for score in (0.5, 0.6, 0.5): early.note(score)
    >>> early.stops
    True
    """

    monitor: Monitor
    patience: int | None = None
    min_delta: float = 0.0
    best: float | None = None
    waited: int = 0

    def note(self, score: float) -> None:
        """Take note of an evaluation's score. NaN is never better."""
        sign = 1 if self.monitor.mode == "max" else -1
        if not math.isnan(score) and self.monitor.better(score - sign * self.min_delta, self.best):
            self.best, self.waited = score, 0
        else:
            self.waited += 1

    @property
    def stops(self) -> bool:
        """Whether training ends here."""
        return self.patience is not None and self.waited >= self.patience
