"""How much of the differences between scores each key makes by itself."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nnxtrain.sweep.results import Ranking


@dataclass(frozen=True)
class Effect:
    """``share`` of the variance over the combinations; ``chance``: what a key without any effect has on average."""

    key: str
    share: float
    chance: float


def effects(ranking: Ranking) -> list[Effect]:
    """Return the main effect of each key, the largest first; none unless all combinations of a full grid have finished.

    The share is the sum of squares between a key's values over the total sum of squares (eta squared), over the means of
    the combinations. In a full grid, and only there, the shares of keys do not overlap: what they leave of 1 is made by
    keys together and by chance.
    """
    scores = [group.score.mean for group in ranking.groups if group.score is not None]
    grid = [tuple(group.values.get(key) for key in ranking.keys) for group in ranking.groups]
    levels = [Counter(column) for column in zip(*grid)]
    full = math.prod(len(level) for level in levels) == len(grid)
    if len(levels) < 2 or len(scores) < len(grid) or not full:
        return []
    middle = statistics.fmean(scores)
    total = sum((score - middle) ** 2 for score in scores)
    if total == 0:
        return []
    columns = zip(ranking.keys, zip(*grid), levels)
    found = [
        Effect(key, _between(column, scores, middle) / total, (len(level) - 1) / (len(grid) - 1))
        for key, column, level in columns
    ]
    return sorted(found, key=lambda effect: -effect.share)


def _between(column: Sequence[str | None], scores: Sequence[float], middle: float) -> float:
    parts: dict[str | None, list[float]] = {}
    for value, score in zip(column, scores):
        parts.setdefault(value, []).append(score)
    return sum(len(part) * (statistics.fmean(part) - middle) ** 2 for part in parts.values())
