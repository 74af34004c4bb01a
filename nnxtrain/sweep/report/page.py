"""The page of a sweep's report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources

from nnxtrain.report.document import document
from nnxtrain.report.html import section, table
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.report.effects import effects
from nnxtrain.sweep.report.marks import Mark, legend, marks_of
from nnxtrain.sweep.report.pictures import against_key, all_keys, in_order, over_steps
from nnxtrain.sweep.results import Ranking, Result, differing_keys, rank
from nnxtrain.sweep.spec import PrunerName, SamplerName
from nnxtrain.sweep.states import counts
from nnxtrain.sweep.table import columns, label, rows


def page(sweep: SweepDirectory, results: Sequence[Result]) -> str:
    """Return the HTML of a report on a sweep as it stands."""
    ranking = rank(results)
    marks = marks_of(ranking)
    monitor = ranking.monitor or "score"
    keys = ranking.keys or (["seed"] if ranking.seeds else [])
    body = "".join(
        [
            f"<header><h1>{escape(sweep.name)}</h1>{_standing(sweep, results, ranking)}</header>",
            section("Ranking", _ranking(sweep, ranking)),
            section("Failed trials", _failures(sweep, results)),
            section("Scores and keys", _scores(keys, marks, ranking, monitor)),
            section("All keys at once", _card(all_keys(keys, marks, monitor), marks, lines=True)),
            section("Share of each key", _effects(ranking)),
            section("Validation curves", _card(over_steps(marks, monitor), marks, lines=True)),
            section("Sweep", _origin(sweep)),
        ]
    )
    return document(sweep.name, body, style=_file("sweep.css"), script=_file("sweep.js"))


def _standing(sweep: SweepDirectory, results: Sequence[Result], ranking: Ranking) -> str:
    lines = [f'<p class="soft">{escape(counts(r.trial.state for r in results))}</p>']
    group = ranking.groups[0] if ranking.groups else None
    best = group.best if group else None
    if group is None or best is None:
        return "".join([*lines, '<p class="soft">No trial has a score yet.</p>'])
    values = " ".join(f"{key}={value}" for key, value in group.values.items())
    which = f" with <code>{escape(values)}</code>" if values else ""
    score = group.score or f"{best.score:.4g}"
    lines.append(f"<p>Best: {escape(ranking.monitor or '')} <strong>{score}</strong>{which}</p>")
    if best.checkpoint:
        lines.append(f'<p class="soft">Checkpoint: <code>{escape(str(best.checkpoint))}</code></p>')
    return "".join(lines)


def _ranking(sweep: SweepDirectory, ranking: Ranking) -> str:
    if not ranking.groups:
        return ""
    better = {"max": ", higher is better", "min": ", lower is better"}.get(ranking.mode or "", "")
    spread = "; mean ± standard deviation over seeds" if ranking.seeds else ""
    said = f"By validation {ranking.monitor or 'score'}{better}{spread}; brackets: not finished"
    listed = [[*row, _path(sweep, group.best)] for row, group in zip(rows(ranking), ranking.groups)]
    numbers = [" ".join(str(r.trial.number) for r in group.results) for group in ranking.groups]
    drawn = table(
        [*columns(ranking), "best checkpoint"],
        listed,
        caption=said,
        attributes=[f'data-trials="{of}"' for of in numbers],
    )
    return f'<div class="card ranking">{drawn}</div>'


def _path(sweep: SweepDirectory, best: Result | None) -> str:
    path = best.checkpoint if best else None
    return str(path.relative_to(sweep.path)) if path else ""


def _scores(keys: Sequence[str], marks: Sequence[Mark], ranking: Ranking, monitor: str) -> str:
    if not marks:
        return ""
    scored = sum(r.score is not None for group in ranking.groups for r in group.results)
    few = f" The best {len(marks):,} of {scored:,} are drawn." if len(marks) < scored else ""
    said = f'<p class="soft">Each point is a trial, with its best validation {escape(monitor)}.{few}</p>'
    drawn = [(key, against_key(key, marks, monitor)) for key in keys]
    drawn.append(
        ("trials in their order, and the best so far", in_order(marks, monitor, ranking.mode))
    )
    cards = "".join(
        f'<div class="card"><h3>{escape(title)}</h3>{chart}</div>'
        for title, chart in drawn
        if chart
    )
    return f'{said}{legend(marks, lines=False)}<div class="grid charts">{cards}</div>'


def _card(chart: str, marks: Sequence[Mark], *, lines: bool) -> str:
    return f'<div class="card">{legend(marks, lines=lines)}{chart}</div>' if chart else ""


def _effects(ranking: Ranking) -> str:
    found = effects(ranking)
    if not found:
        return ""
    listed = [[e.key, f"{e.share:.0%}", f"{e.chance:.0%}"] for e in found]
    listed.append(
        ["keys together, and chance", f"{max(0.0, 1 - sum(e.share for e in found)):.0%}", ""]
    )
    said = (
        "How much of the variance of the scores over the full grid each key makes by itself, and how much a key "
        "without any effect would on average"
    )
    drawn = table(["key", "share", "without effect"], listed, caption=said)
    return f'<div class="card">{drawn}</div>'


def _failures(sweep: SweepDirectory, results: Sequence[Result]) -> str:
    keys = differing_keys(results)
    listed = [
        [
            result.trial.number,
            label(result, keys),
            result.trial.state,
            result.trial.error or "its process ended without a word",
            str(sweep.log_path(result.trial.number)),
        ]
        for result in results
        if result.trial.state in ("failed", "died")
    ]
    if not listed:
        return ""
    drawn = table(["trial", "values", "state", "error", "log"], listed)
    again = f"nnxtrain sweep retry {sweep.called}"
    said = f'<p class="soft">To go on with them: <code>{escape(again)}</code></p>'
    return f'<div class="card failures">{drawn}</div>{said}'


def _origin(sweep: SweepDirectory) -> str:
    spec, content = sweep.spec, sweep.content
    sampler = spec.sampler.value
    if spec.sampler is not SamplerName.grid:
        sampler += f", {len(sweep.numbers)} trials, seed {spec.seed}"
    listed = [
        ["command", " ".join(content["command"])],
        ["overrides", " ".join(content["overrides"])],
        ["sampler", sampler],
        *([["pruner", spec.pruner.value]] if spec.pruner is not PrunerName.none else []),
        ["launcher", spec.launcher.value],
        ["started", content["started"]],
        ["directory", str(sweep.path)],
    ]
    return table(["sweep", "value"], listed, keys=True)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
