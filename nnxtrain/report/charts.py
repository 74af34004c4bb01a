"""Charts as SVG text. The colours are those of the page's style sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nnxtrain.report.axes import Axes, Linear, Point

POINTS = 400  # of one line; more cannot be seen


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
    x = Linear.of([p[0] for p in finite])
    axes = Axes(x, Linear.of([p[1] for p in finite], 0.05))
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
    return svg(title, _described(series), parts, axes, {"x": (x.low, x.high), "series": data})


def scatter_chart(title: str, points: Sequence[Point], *, x_label: str, y_label: str) -> str:
    """Return an SVG chart of points, with the line on which both numbers are equal."""
    finite = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        return ""
    both = [value for point in finite for value in point]
    axes = Axes(Linear.of(both), Linear.of(both, 0.05))
    low, high = axes.place((min(both), min(both))), axes.place((max(both), max(both)))
    shown = finite[:: max(1, len(finite) // 1000)]
    dots = [axes.place(point) for point in shown]
    parts = [
        axes.draw(x_label),
        f'<line class="grid" x1="{low[0]}" y1="{low[1]}" x2="{high[0]}" y2="{high[1]}" stroke-dasharray="4 4"/>',
        *(f'<circle class="dot c0 faint" cx="{x}" cy="{y}" r="2.2"/>' for x, y in dots),
    ]
    described = f"{len(finite)} points; across: {x_label}; up: {y_label}; the dashed line is where both are equal"
    return svg(title, described, parts, axes)


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


def svg(
    title: str,
    described: str,
    parts: Sequence[str],
    axes: Axes,
    data: Mapping[str, Any] | None = None,
) -> str:
    """Return one picture; what a screen reader says of it is the title and the description. ``data`` is for the script."""
    attributes = ""
    if data:
        text = json.dumps({**data, "box": axes.box}, separators=(",", ":"))
        attributes = f' data-chart="{escape(text)}"'
    return (
        f'<svg viewBox="0 0 {axes.width} {axes.height}" role="img" '
        f'aria-label="{escape(f"{title}: {described}")}"{attributes}>{"".join(parts)}</svg>'
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
