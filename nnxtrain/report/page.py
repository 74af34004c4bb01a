"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nnxtrain.config.compare import differing, flat, shown
from nnxtrain.report.curves import curves
from nnxtrain.report.document import document
from nnxtrain.report.examination import Examination
from nnxtrain.report.findings import findings
from nnxtrain.report.html import code, details, section, table, text
from nnxtrain.training.run_summary import RunSummary, duration

STATES = {
    "finished": "good",
    "pruned": "good",
    "failed": "bad",
    "died": "bad",
    "interrupted": "bad",
}


@dataclass(frozen=True)
class Subject:
    """A run, and what its model was found to get right and wrong, if it was looked at."""

    run: RunSummary
    examination: Examination | None = None


def page(subjects: Sequence[Subject]) -> str:
    """Return the HTML of a report on one run or more."""
    runs = [subject.run for subject in subjects]
    configs = {run.directory.name: flat(run.directory.config_path) for run in runs}
    names = [run.directory.name for run in runs]
    title = names[0] if len(names) == 1 else f"{len(names)} runs compared"
    body = "".join(
        [
            f"<header><h1>{escape(title)}</h1>{_standing(runs)}</header>",
            section("Results", _results(runs)),
            section("Curves", curves(runs)),
            *(
                findings(s.examination, s.run.directory.name if len(runs) > 1 else "")
                for s in subjects
                if s.examination
            ),
            section("Configuration", _configuration(runs, configs)),
            section("Environment", *map(_environment, runs)),
        ]
    )
    return document(title, body)


def _standing(runs: Sequence[RunSummary]) -> str:
    """How far each run got."""
    lines = []
    for run in runs:
        name = f"{escape(run.directory.name)}: " if len(runs) > 1 else ""
        state = f'<strong class="{STATES.get(run.state, "")}">{escape(run.state)}</strong>'
        of = f" of {run.total_steps:,}" if run.total_steps else ""
        started = f", started {run.started:%Y-%m-%d %H:%M}" if run.started else ""
        took = f", took {duration(run.seconds)}" if run.seconds is not None else ""
        lines.append(f'<p class="soft">{name}{state} at step {run.step:,}{of}{started}{took}</p>')
        if not run.directory.has_checkpoint:
            lines.append(
                f'<p class="soft">{name}no checkpoint, so there is no model to look at</p>'
            )
        if run.error:
            lines.append(f'<p class="bad">{escape(run.error)}</p>')
    return "".join(lines)


def _results(runs: Sequence[RunSummary]) -> str:
    """One run's results under each other; those of several in a table of one row a run."""
    rows = [
        {
            **({f"best validation {run.monitor}": run.best} if run.best is not None else {}),
            "at step": run.best_step,
            **{f"test {name}": value for name, value in run.test.items()},
        }
        for run in runs
    ]
    if len(rows) == 1:
        return table(["result", "value"], list(rows[0].items()))
    names = [
        name for name in dict.fromkeys(name for row in rows for name in row) if name != "at step"
    ]
    listed = [
        [
            run.directory.name,
            *(row.get(name) for name in [*names, "at step"]),
            duration(run.seconds),
        ]
        for run, row in zip(runs, rows)
    ]
    return table(["run", *names, "at step", "took"], listed)


def _configuration(runs: Sequence[RunSummary], configs: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    if len(runs) > 1:
        rows = [
            [key, *map(shown, values)] for key, values in differing(list(configs.values())).items()
        ]
        parts.append(
            table(["key", *configs], rows, caption="What differs", keys=True)
            if rows
            else '<p class="soft">The runs have the same configuration.</p>'
        )
    for run in runs:
        overrides = run.directory.origin.get("overrides") or []
        given = (
            f'<p class="soft">Overrides: <code>{escape(" ".join(overrides)) or "none"}</code></p>'
        )
        source = run.directory.config_path.read_text(encoding="utf-8")
        parts.append(details(f"config.yaml of {run.directory.name}", given + code(source)))
    return "".join(parts)


def _environment(run: RunSummary) -> str:
    origin = run.directory.origin
    git = origin.get("git") or {}
    state = {True: " with uncommitted changes", False: "", None: ""}[git.get("dirty")]
    rows = [
        ("command", " ".join(origin.get("command") or [])),
        ("host", f"{origin.get('host', '')}, {origin.get('platform', '')}"),
        ("devices", ", ".join(origin.get("devices") or [])),
        (
            "versions",
            ", ".join(
                f"{name} {version}"
                for name, version in (origin.get("versions") or {}).items()
                if version
            ),
        ),
        ("git commit", f"{git['commit']}{state}" if git.get("commit") else "no git checkout"),
        ("directory", str(run.directory.path)),
    ]
    items = "".join(
        f'<tr><th scope="row">{name}</th><td class="value">{text(value)}</td></tr>'
        for name, value in rows
    )
    diff = run.directory.path / "git.diff"
    changes = ""
    if diff.is_file():
        source = diff.read_text(encoding="utf-8", errors="replace")
        shown = (
            source
            if len(source) < 200_000
            else source[:200_000] + "\n… cut here; all of it is in git.diff"
        )
        changes = details("uncommitted changes", code(shown))
    return (
        f'<h3>{escape(run.directory.name)}</h3><div class="scroll" tabindex="0" role="region" aria-label="environment">'
        f"<table><tbody>{items}</tbody></table></div>{changes}"
    )
