"""Curves on logarithmic axes, several beside each other, as one SVG file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from nnxtrain.report.axes import Axes, Logarithmic, Point

COLORS = "#0b65c2", "#c2570b", "#2b8a3e"
STYLE = """
svg { background: #fff; font: 12px system-ui, sans-serif; }
.grid { stroke: #ddd; } .tick { fill: #555; font: 12px system-ui, sans-serif; }
.title { fill: #111; font: 600 13px system-ui, sans-serif; }
"""
COLUMNS, HEADER = 2, 26


def chart(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """Return an SVG document: for each title a picture of lines by name, µs upwards."""
    pictures = [_picture(title, lines) for title, lines in curves.items()]
    size = Axes(Logarithmic(1, 10), Logarithmic(1, 10))
    width, height = size.width + 10, size.height + HEADER
    rows = math.ceil(len(pictures) / COLUMNS)
    placed = [
        f'<g transform="translate({i % COLUMNS * width},{24 + i // COLUMNS * height})">{picture}</g>'
        for i, picture in enumerate(pictures)
    ]
    names = dict.fromkeys(name for lines in curves.values() for name in lines)
    key = "".join(
        f'<text x="{56 + 110 * i}" y="16" fill="{color}">— {escape(name)}</text>'
        for i, (name, color) in enumerate(zip(names, COLORS))
    )
    box = f"0 0 {COLUMNS * width} {rows * height + 24}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{key}{"".join(placed)}</svg>\n'
    )


def _picture(title: str, lines: Mapping[str, Sequence[Point]]) -> str:
    points = [point for line in lines.values() for point in line]
    axes = Axes(Logarithmic.of([x for x, _ in points]), Logarithmic.of([y for _, y in points], 0.1))
    parts = [f'<text class="title" x="{axes.left}" y="16">{escape(title)}: µs</text>']
    drawn = [axes.draw(title)]
    for line, color in zip(lines.values(), COLORS):
        drawn.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="1.6" points="{axes.path(line)}"/>'
        )
        drawn += [
            f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>' for x, y in map(axes.place, line)
        ]
    return "".join(parts) + f'<g transform="translate(0,{HEADER - 6})">{"".join(drawn)}</g>'
