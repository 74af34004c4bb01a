"""From values to places in a picture: scales, and the axes that are drawn of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Protocol

Point = tuple[float, float]
LETTER = 6.6  # the width of one, in a tick's text


class Scale(Protocol):
    """Maps a value to its share of the way along an axis, 0 to 1."""

    def share(self, value: float) -> float:
        """Return the share; outside 0 to 1 for what is beyond the axis."""

    def marks(self, room: float) -> list[tuple[float, str]]:
        """Return the shares and texts of the ticks, for an axis ``room`` units long."""


@dataclass(frozen=True)
class Linear:
    """From ``low`` to ``high``, evenly."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], margin: float = 0.0) -> Linear:
        """Return a scale with all values, and a part of its length beyond them at each end."""
        low, high = min(values), max(values)
        pad = (high - low) * margin if low < high else abs(low) or 1.0
        return cls(low - pad, high + pad)

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def marks(self, room: float) -> list[tuple[float, str]]:
        return [(self.share(value), short(value)) for value in ticks(self.low, self.high)]


@dataclass(frozen=True)
class Logarithmic:
    """From ``low`` to ``high``, both above 0, evenly in the logarithm."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], margin: float = 0.0) -> Logarithmic:
        """As :meth:`Linear.of`, in the logarithm."""
        low, high = min(values), max(values)
        factor = (high / low) ** margin if low < high else 2.0
        return cls(low / factor, high * factor)

    def share(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def marks(self, room: float) -> list[tuple[float, str]]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
            values = [d * 10.0**power for power in range(first, last + 1) for d in digits]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) > 2:
                break
        values = values[:: max(1, math.ceil(len(values) / 6))]
        return [(self.share(value), short(value)) for value in values]


@dataclass(frozen=True)
class Names:
    """Names beside each other; a value is the number of one, and what is beyond .5 lies between two."""

    names: tuple[str, ...]

    def share(self, value: float) -> float:
        return (value + 0.5) / len(self.names)

    def marks(self, room: float) -> list[tuple[float, str]]:
        letters = max(3, int(room / len(self.names) / LETTER) - 1)
        every = max(1, math.ceil(3 * LETTER * len(self.names) / room))
        return [
            (self.share(number), cut(name, letters))
            for number, name in enumerate(self.names)
            if number % every == 0
        ]


@dataclass(frozen=True)
class Fixed:
    """Another scale with ticks at given values, by their own texts, where they have room."""

    scale: Linear | Logarithmic
    texts: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        return self.scale.share(value)

    def marks(self, room: float) -> list[tuple[float, str]]:
        places = [(self.share(value), text) for value, text in sorted(self.texts)]
        for (left, a), (right, b) in pairwise(places):
            if (right - left) * room < (len(a) + len(b) + 2) / 2 * LETTER:
                return self.scale.marks(room)
        return places


@dataclass(frozen=True)
class Axes:
    """Two scales in a frame."""

    x: Scale
    y: Scale
    width: int = 420
    height: int = 260
    left: int = 56
    right: int = 12
    top: int = 10
    bottom: int = 34

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom of what the axes enclose."""
        return self.left, self.width - self.right, self.top, self.height - self.bottom

    def place(self, point: Point) -> Point:
        """Return where a point lies."""
        left, right, top, bottom = self.box
        x = left + self.x.share(point[0]) * (right - left)
        y = bottom - self.y.share(point[1]) * (bottom - top)
        return round(x, 1), round(y, 1)

    def path(self, points: Iterable[Point]) -> str:
        """Return points as a polyline has them."""
        return " ".join(f"{x},{y}" for x, y in map(self.place, points))

    def draw(self, x_label: str) -> str:
        """Return the grid and the ticks as SVG."""
        left, right, top, bottom = self.box
        parts = []
        for share, text in self.y.marks(bottom - top):
            y = round(bottom - share * (bottom - top), 1)
            parts.append(f'<line class="grid" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>')
            parts.append(
                f'<text class="tick" x="{left - 6}" y="{y + 4}" text-anchor="end">{escape(text)}</text>'
            )
        for share, text in self.x.marks(right - left):
            x = round(left + share * (right - left), 1)
            parts.append(
                f'<text class="tick" x="{x}" y="{bottom + 15}" text-anchor="middle">{escape(text)}</text>'
            )
        parts.append(
            f'<text class="tick" x="{(left + right) / 2}" y="{self.height - 4}" text-anchor="middle">'
            f"{escape(x_label)}</text>"
        )
        return "".join(parts)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``.

    >>> ticks(0.13, 0.98)
    [0.2, 0.4, 0.6, 0.8]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.99)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{n * step:.12g}") for n in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Return a tick's number in few characters.

    >>> [short(x) for x in (0.25, 1500, 2e6, 0.0001, 0)]
    ['0.25', '1.5k', '2M', '1e-04', '0']
    """
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{letter}"
    if 0 < size < 1e-3:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{exponent}"
    return f"{value:.4g}"


def cut(text: str, length: int) -> str:
    """Return a text, shortened in its middle where it is longer.

    >>> cut("nnxtrain.models.MLP", 9), cut("adam", 9)
    ('nnxt….MLP', 'adam')
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"
