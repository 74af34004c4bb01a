"""The pictures of a sweep: scores against keys, in order, over steps, and all keys of a trial at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from nnxtrain.report.axes import Axes, Linear, Names, Point, Scale, cut
from nnxtrain.report.charts import svg, thinned
from nnxtrain.sweep.report.marks import Mark
from nnxtrain.sweep.report.scales import scale_of_scores, scale_of_values

POINTS = 20_000  # of all curves together
AXIS = 150  # from one axis to the next, where all keys are drawn
HEIGHT = 320


def against_key(key: str, marks: Sequence[Mark], monitor: str) -> str:
    """Return the scores against the values of a key. Names have a strip each, and the mean of the finished in it."""
    having = [mark for mark in marks if key in mark.result.values]
    if not having:
        return ""
    scale, place = scale_of_values(_values(key, having))
    axes = Axes(scale, scale_of_scores([mark.score for mark in having]))
    parts = [axes.draw(key)]
    if isinstance(scale, Names):
        parts += _means(scale, having, key, axes)
    for mark in reversed(having):  # the best on top
        x = place(mark.result.values[key])
        x += _aside(mark.number) if isinstance(scale, Names) else 0
        parts.append(mark.dot(axes.place((x, mark.score))))
    return svg(f"{monitor} against {key}", _described(having), parts, axes)


def in_order(marks: Sequence[Mark], monitor: str, mode: str | None) -> str:
    """Return the scores by the numbers of the trials, and a line: the best that had finished so far."""
    ordered = sorted(marks, key=lambda mark: mark.number)
    axes = Axes(
        Linear.of([mark.number for mark in ordered], 0.03),
        scale_of_scores([mark.score for mark in ordered]),
    )
    better = max if mode == "max" else min
    steps: list[Point] = []
    for mark in ordered:
        if mark.kind == "finished":
            before = steps[-1][1] if steps else mark.score
            best = better(before, mark.score)
            steps += [(mark.number, before), (mark.number, best)]
    if steps:
        steps.append((ordered[-1].number, steps[-1][1]))
    line = f'<polyline class="line best" points="{axes.path(steps)}"/>' if steps else ""
    parts = [
        axes.draw("trial"),
        line,
        *(mark.dot(axes.place((mark.number, mark.score))) for mark in ordered),
    ]
    said = f"; the best so far ends at {steps[-1][1]:.4g}" if steps else ""
    return svg(f"{monitor} of each trial", _described(marks) + said, parts, axes)


def over_steps(marks: Sequence[Mark], monitor: str) -> str:
    """Return the validation curves of the trials; that of a pruned one is dashed and ends in a cross."""
    limit = max(12, POINTS // max(1, len(marks)))
    curves = {mark.number: _curve(mark, monitor, limit) for mark in marks}
    points = [point for curve in curves.values() for point in curve]
    if not any(len(curve) > 1 for curve in curves.values()):
        return ""
    axes = Axes(
        Linear.of([step for step, _ in points], 0.02),
        scale_of_scores([score for _, score in points]),
        width=860,
        height=HEIGHT,
    )
    parts = [axes.draw("step")]
    for mark in reversed(marks):
        curve = curves[mark.number]
        parts.append(mark.line(axes.path(curve)))
        if curve and mark.kind == "pruned":
            x, y = axes.place(curve[-1])
            parts.append(
                mark.line(
                    f"{x - 3},{y - 3} {x + 3},{y + 3} {x},{y} {x - 3},{y + 3} {x + 3},{y - 3}"
                )
            )
    drawn = svg(f"validation {monitor} over the steps", _described(marks), parts, axes)
    return _sideways("validation curves", drawn, axes.width)


def all_keys(keys: Sequence[str], marks: Sequence[Mark], monitor: str) -> str:
    """Return parallel coordinates: an axis for each key and one for the score, a line for each trial."""
    having = [mark for mark in marks if all(key in mark.result.values for key in keys)]
    if len(keys) < 2 or not having:
        return ""
    named = [*keys, monitor]
    scales = [scale_of_values(_values(key, having)) for key in keys]
    score = scale_of_scores([mark.score for mark in having])
    width = AXIS * len(named)
    frame = Axes(
        Names(tuple(named)), Linear(0, 1), width, HEIGHT, left=0, right=0, top=28, bottom=12
    )
    parts = []
    for mark in reversed(having):
        shares = [
            scale.share(place(mark.result.values[key])) for key, (scale, place) in zip(keys, scales)
        ]
        parts.append(mark.line(frame.path(enumerate([*shares, score.share(mark.score)]))))
    upright = [*(scale for scale, _ in scales), score]
    parts += [_upright(frame, *axis) for axis in zip(range(len(named)), named, upright)]
    said = f"{len(having)} trials as lines through {', '.join(keys)} to {monitor}"
    return _sideways("all keys", svg("all keys", said, parts, frame), width)


def _sideways(name: str, drawn: str, width: int) -> str:
    """A wide picture, which scrolls where there is little room, so that it can be read."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f'<div class="wide" style="--width: {width}px">{drawn}</div></div>'
    )


def _values(key: str, marks: Sequence[Mark]) -> list[str]:
    """The values of a key in the order of the trials."""
    return [mark.result.values[key] for mark in sorted(marks, key=lambda mark: mark.number)]


def _upright(frame: Axes, number: int, name: str, scale: Scale) -> str:
    x, low = frame.place((number, 0))
    _, high = frame.place((number, 1))
    shown = cut(name, 21)
    parts = [
        f'<line class="axis" x1="{x}" y1="{high}" x2="{x}" y2="{low}"/>',
        f'<text class="tick" x="{x}" y="14" text-anchor="middle">{escape(shown)}<title>{escape(name)}</title></text>',
    ]
    # An axis upright has room for a line of text, not for its letters.
    for share, text in scale.marks((low - high) * 2.5):
        _, y = frame.place((number, share))
        parts.append(f'<text class="tick" x="{x + 5}" y="{y + 4}">{escape(cut(text, 18))}</text>')
    return "".join(parts)


def _means(scale: Names, marks: Sequence[Mark], key: str, axes: Axes) -> list[str]:
    parts = []
    for number, name in enumerate(scale.names):
        scores = [
            mark.score
            for mark in marks
            if mark.kind == "finished" and mark.result.values[key] == name
        ]
        if len(scores) > 1:
            mean = sum(scores) / len(scores)
            path = axes.path([(number - 0.35, mean), (number + 0.35, mean)])
            parts.append(
                f'<polyline class="line best" points="{path}"><title>mean {mean:.4g}</title></polyline>'
            )
    return parts


def _aside(number: int) -> float:
    """A place beside the middle of a strip, so that trials do not cover each other; the same at every drawing."""
    return ((number * 0.618034) % 1 - 0.5) * 0.5


def _curve(mark: Mark, monitor: str, limit: int) -> list[Point]:
    records = mark.result.run.records if mark.result.run else []
    points = [
        (float(record["step"]), float(record[monitor]))
        for record in records
        if record.get("split") == "val" and isinstance(record.get(monitor), int | float)
    ]
    return [point for point in thinned(points, limit) if math.isfinite(point[1])]


def _described(marks: Sequence[Mark]) -> str:
    scores = [mark.score for mark in marks]
    best = marks[0]
    return (
        f"{len(scores)} trials from {min(scores):.4g} to {max(scores):.4g}; the best is {best.told}"
    )
