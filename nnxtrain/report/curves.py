"""The charts of what runs measured, each metric in one, all runs and splits in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nnxtrain.report.axes import Point
from nnxtrain.report.charts import Series, line_chart
from nnxtrain.training.run_summary import RunSummary, metrics_of

SPLITS = {"train": "training", "val": "validation"}
LAST = ("learning_rate", "examples_per_second", "tokens_per_second", "data_wait")


def curves(runs: Sequence[RunSummary]) -> str:
    """Return the charts as HTML, ``""`` where nothing was measured.

    With one run a colour is a split; with several it is a run, and training is dashed.
    """
    metrics = dict.fromkeys(
        name
        for run in runs
        for record in run.records
        if record["split"] in SPLITS
        for name, value in metrics_of(record).items()
        if isinstance(value, int | float)
    )
    ordered = [
        *(name for name in metrics if name not in LAST),
        *(name for name in LAST if name in metrics),
    ]
    charts = "".join(_chart(name, runs) for name in ordered)
    if not charts:
        return ""
    names = ""
    if len(runs) > 1:
        items = "".join(
            f"<li>{_key(i, False)}{escape(run.directory.name)}</li>" for i, run in enumerate(runs)
        )
        names = f'<ul class="legend names">{items}</ul>'
    return f'{names}<div class="grid charts">{charts}</div>'


def _chart(name: str, runs: Sequence[RunSummary]) -> str:
    found = [
        (number, split, points)
        for number, run in enumerate(runs)
        for split in SPLITS
        if (points := _points(run, split, name))
    ]
    splits = [split for split in SPLITS if any(split == other for _, other, _ in found)]
    one, both = len(runs) == 1, len(splits) > 1
    series = [
        Series(
            SPLITS[split] if one else f"{runs[number].directory.name} {SPLITS[split]}",
            points,
            color=list(SPLITS).index(split) if one else number,
            dashed=both and not one and split == "train",
            short=SPLITS[split],
        )
        for number, split, points in found
    ]
    title = name.replace("_", " ")
    drawn = line_chart(title, series)
    if not drawn:
        return ""
    items = "".join(
        f"<li>{_key(order, False) if one else _key(None, split == 'train')}{SPLITS[split]}</li>"
        for order, split in enumerate(splits)
    )
    legend = f'<ul class="legend">{items}</ul>' if both else ""
    return f'<div class="card"><h3>{escape(title)}</h3>{legend}{drawn}<div class="readout" aria-live="polite"></div></div>'


def _points(run: RunSummary, split: str, name: str) -> list[Point]:
    return [
        (float(record["step"]), float(record[name]))
        for record in run.records
        if record["split"] == split and isinstance(record.get(name), int | float)
    ]


def _key(color: int | None, dashed: bool) -> str:
    """A bit of line for a legend."""
    stroke = (
        f'class="line c{color % 8}"' if color is not None else 'class="line" stroke="currentColor"'
    )
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return f'<svg viewBox="0 0 26 10" aria-hidden="true"><line {stroke}{dash} x1="0" y1="5" x2="26" y2="5"/></svg>'
