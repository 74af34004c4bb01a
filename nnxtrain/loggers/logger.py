"""What a logger is."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nnxtrain.errors import InputError


class Line(NamedTuple):
    """A line of ``metrics.jsonl``: the metrics of a split after ``step`` updates, ``epoch`` epochs.

    Metrics are numbers (NaN for what is not finite) or strings; ``time`` is in seconds since 1970.

    >>> Line.of({"step": 5, "epoch": 1.0, "split": "val", "time": 0.0, "loss": 0.5}).tagged()
    {'val/loss': 0.5}
    """

    step: int
    epoch: float
    split: str
    time: float
    metrics: dict[str, Any]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Line:
        """Return the line of a record as ``read_metrics`` gives it."""
        head = ("step", "epoch", "split", "time")
        metrics = {name: value for name, value in record.items() if name not in head}
        step, epoch, split, time = (record[name] for name in head)
        return cls(step, epoch, split, time, metrics)

    def tagged(self) -> dict[str, Any]:
        """Return the metrics under the names that all loggers use."""
        return {f"{self.split}/{name}": value for name, value in self.metrics.items()}


class Logger(Protocol):
    """Receives what ``metrics.jsonl`` gets, line by line.

    Building one checks what it needs and touches nothing. A logger of your own is a class with these three methods:
    ``logger.mine._target_=mypackage.Mine --package mypackage``.
    """

    def open(self, directory: Path, config: dict[str, Any], history: Sequence[Line]) -> None:
        """Begin.

        Args:
          directory: the run's.
          config: the resolved configuration, as plain dicts.
          history: the lines that stand already: none in a new run. What had been measured after them is void.
        """

    def log(self, line: Line) -> None:
        """Take one line."""

    def close(self, status: str) -> None:
        """End. ``status`` is ``finished``, ``interrupted`` or ``failed``."""


def needs(package: str, extra: str) -> None:
    """Raise ``InputError`` with what to type where ``package`` is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # a folder of that name is no package
        raise InputError(
            f"logger={extra} needs the package {package}; install it with: pip install 'nnxtrain[{extra}]'"
        )
