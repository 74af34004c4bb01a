"""Which validation metric decides what is best, and which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from nnxtrain.config.schema import Config, Mode
from nnxtrain.config.target import locate

LOWER_IS_BETTER = ("loss", "mae", "rmse")


class Monitor(NamedTuple):
    """A metric's name, and ``max`` or ``min``."""

    metric: str
    mode: Literal["max", "min"]

    @classmethod
    def of(cls, config: Config, packages: Sequence[str] = ()) -> Monitor:
        """What the config says, or else the task's ``monitor`` (``loss`` where it has none).

        >>> from nnxtrain.config import compose
        >>> Monitor.of(compose()), Monitor.of(compose(["trainer.monitor=loss"]))
        (Monitor(metric='accuracy', mode='max'), Monitor(metric='loss', mode='min'))
        """
        task = locate(config.task["_target_"], packages)
        metric = str(config.trainer.monitor or getattr(task, "monitor", "loss"))
        lower = metric in LOWER_IS_BETTER
        if config.trainer.mode is not None:
            lower = config.trainer.mode is Mode.min
        return cls(metric, "min" if lower else "max")

    def better(self, score: float, best: float | None) -> bool:
        """Whether a score is better than the best so far."""
        return best is None or (score > best if self.mode == "max" else score < best)
