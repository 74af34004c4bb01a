"""Which axis fits the values of a key, or scores."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from nnxtrain.report.axes import Fixed, Linear, Logarithmic, Names, Scale

DECADE = (
    10  # the least ratio of a key's largest value to its smallest that is drawn in the logarithm
)
SCORES = 100  # the same of scores
MARGIN = 0.05  # of an axis beyond its values
TOLD = 7  # values that are told at the axis one by one


def scale_of_values(texts: Sequence[str]) -> tuple[Scale, Callable[[str], float]]:
    """Return an axis for the texts of a key's values, and where on it each belongs.

    >>> scale, place = scale_of_values(["0.001", "0.1", "0.01"])
    >>> round(scale.share(place("0.01")), 6)
    0.5
    >>> scale_of_values(["adam", "sgd", "adam"])[0]
    Names(names=('adam', 'sgd'))
    >>> [type(scale_of_values(x.split())[0].scale).__name__ for x in ("0.01 0.1 0.2 0.3", "16 64 256")]
    ['Linear', 'Logarithmic']
    """
    distinct = tuple(dict.fromkeys(texts))
    numbers = {text: number for text in distinct if (number := _number(text)) is not None}
    if len(numbers) < len(distinct) or len(distinct) < 2:
        return Names(distinct), lambda text: float(distinct.index(text))
    values = list(numbers.values())
    scale = _scale(values, DECADE)
    if isinstance(scale, Logarithmic):  # as drawn from a logarithm, or just some close to 0?
        linear = Linear.of(values, MARGIN)
        if _unevenness(linear, values) < _unevenness(scale, values):
            scale = linear
    fixed = Fixed(scale, tuple((number, text) for text, number in numbers.items()))
    return fixed if len(distinct) <= TOLD else scale, lambda text: numbers[text]


def scale_of_scores(scores: Sequence[float]) -> Scale:
    """Return an axis for scores: in the logarithm where they are spread over several decades."""
    return _scale(scores, SCORES)


def _scale(values: Sequence[float], spread: float) -> Linear | Logarithmic:
    low, high = min(values), max(values)
    kind = Logarithmic if low > 0 and high / low >= spread * (1 - 1e-9) else Linear
    return kind.of(values, MARGIN)


def _unevenness(scale: Scale, values: Sequence[float]) -> float:
    """How far the values' mean place is from the middle."""
    return round(abs(statistics.fmean(map(scale.share, values)) - 0.5), 6)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
