"""Charts as SVG text. The colours are those of the page's style sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 34
POINTS = 400  # of one line; more cannot be seen

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line: its name, its points in the order of x, its colour (0, 1, …), whether it is dashed, and what it is called
    beside its colour."""

    name: str
    points: Sequence[Point]
    color: int = 0
    dashed: bool = False
    short: str = ""


def line_chart(title: str, series: Sequence[Series], *, x_label: str = "step") -> str:
    """Return an SVG chart of lines; a point that is not finite makes a gap. ``""`` without finite points.

    The points are in ``data-series`` too, for the page's script, which shows them under the pointer.
    """
    finite = [p for line in series for p in line.points if math.isfinite(p[1])]
    if not finite:
        return ""
    axes = _Axes.around(finite)
    parts = [axes.draw(x_label)]
    for line in series:
        points = thinned(line.points)
        dash = ' stroke-dasharray="5 3"' if line.dashed else ""
        style = f'class="line c{line.color % 8}"{dash}'
        parts += [f'<polyline {style} points="{axes.path(part)}"/>' for part in _unbroken(points)]
        if len(points) <= 40:
            dots = [axes.place(p) for p in points if math.isfinite(p[1])]
            parts += [
                f'<circle class="dot c{line.color % 8}" cx="{x}" cy="{y}" r="2.2"/>'
                for x, y in dots
            ]
    data = [
        {
            "name": s.short or s.name,
            "color": s.color % 8,
            "points": [p for p in thinned(s.points) if math.isfinite(p[1])],
        }
        for s in series
    ]
    return _svg(title, _described(series), parts, axes, data)


def scatter_chart(title: str, points: Sequence[Point], *, x_label: str, y_label: str) -> str:
    """Return an SVG chart of points, with the line on which both numbers are equal."""
    finite = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        return ""
    both = [value for point in finite for value in point]
    axes = _Axes.around([(min(both), min(both)), (max(both), max(both))])
    low, high = axes.place((min(both), min(both))), axes.place((max(both), max(both)))
    shown = finite[:: max(1, len(finite) // 1000)]
    dots = [axes.place(point) for point in shown]
    parts = [
        axes.draw(x_label),
        f'<line class="grid" x1="{low[0]}" y1="{low[1]}" x2="{high[0]}" y2="{high[1]}" stroke-dasharray="4 4"/>',
        *(f'<circle class="dot c0 faint" cx="{x}" cy="{y}" r="2.2"/>' for x, y in dots),
    ]
    described = f"{len(finite)} points; across: {x_label}; up: {y_label}; the dashed line is where both are equal"
    return _svg(title, described, parts, axes, [])


def thinned(points: Sequence[Point], limit: int = POINTS) -> list[Point]:
    """Return at most ``limit`` points: of each stretch the lowest and the highest, so that peaks stay.

    >>> thinned([(x, 9.0 if x == 13 else 0.0) for x in range(100)], limit=10)[1:3]
    [(13, 9.0), (20, 0.0)]
    """
    if len(points) <= limit:
        return list(points)
    length = math.ceil(len(points) / (limit // 2))
    kept: list[Point] = []
    for start in range(0, len(points), length):
        part = [p for p in points[start : start + length] if math.isfinite(p[1])]
        if part:
            kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept[:limit]


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


@dataclass(frozen=True)
class _Axes:
    """From numbers to places in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, points: Sequence[Point]) -> _Axes:
        return cls(_range([p[0] for p in points], 0.0), _range([p[1] for p in points], 0.05))

    def place(self, point: Point) -> tuple[float, float]:
        x = LEFT + (point[0] - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
        y = (
            HEIGHT
            - BOTTOM
            - (point[1] - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)
        )
        return round(x, 1), round(y, 1)

    def path(self, points: Iterable[Point]) -> str:
        return " ".join(f"{x},{y}" for x, y in map(self.place, points))

    def draw(self, x_label: str) -> str:
        parts = []
        for value in ticks(*self.y):
            _, y = self.place((self.x[0], value))
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_short(value)}</text>'
            )
        for value in ticks(*self.x):
            x, _ = self.place((value, self.y[0]))
            parts.append(
                f'<text class="tick" x="{x}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{_short(value)}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(
            f'<text class="tick" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
        )
        return "".join(parts)


def _svg(title: str, described: str, parts: list[str], axes: _Axes, data: list[dict]) -> str:
    """One picture; what a screen reader says of it stands in ``title`` and ``desc``."""
    attributes = ""
    if data:
        frame = {"x": axes.x, "y": axes.y, "box": [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM]}
        text = json.dumps({**frame, "series": data}, separators=(",", ":"))
        attributes = f' data-chart="{escape(text)}"'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {described}")}"{attributes}>'
        f"{''.join(parts)}</svg>"
    )


def _described(series: Sequence[Series]) -> str:
    said = []
    for line in series:
        values = [y for _, y in line.points if math.isfinite(y)]
        if values:
            said.append(
                f"{line.name} from {values[0]:.4g} to {values[-1]:.4g}, lowest {min(values):.4g}, highest {max(values):.4g}"
            )
    return "; ".join(said)


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    parts: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if len(part) > 1]


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) or 1.0
        return low - pad, high + pad
    pad = (high - low) * margin
    return low - pad, high + pad


def _short(value: float) -> str:
    """A tick's number in few characters.

    >>> [_short(x) for x in (0.25, 1500, 2e6, 0.0001, 0)]
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
