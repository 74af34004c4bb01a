"""Timing on a machine that others use too: the contestants take turns, and what is compared are turns side by side."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def take_turns(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int
) -> dict[str, list[float]]:
    """Run each contestant once a round, in an order that rotates.

    Args:
      contestants: by name, functions that do ``calls`` calls of what is measured and wait for the last.

    Returns:
      for each contestant its µs a call, round by round.
    """
    names = list(contestants)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        order = names[shift:] + names[:shift]
        for name in order if turn % 2 else reversed(order):
            run = contestants[name]
            start = time.perf_counter()
            run()
            taken[name].append((time.perf_counter() - start) / calls * 1e6)
    return taken


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return ordered[0], ordered[0], ordered[0]
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return low, middle, high


def spread(values: Iterable[float], digits: int = 3) -> str:
    """The median, and in parentheses the quartiles."""
    low, middle, high = quartiles(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def have(package: str) -> bool:
    """Whether a peer is installed; says so on stderr where it is not."""
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{package} is not installed, so it is left out", file=sys.stderr)
    return found


def markdown(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; a row without a column has an empty cell there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(name, "")) for name in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
