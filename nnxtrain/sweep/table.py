"""The ranked table of a sweep as rows of text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.storage.json_values import finite
from nnxtrain.sweep.results import Group, Ranking, Result

Row = list[str]


def columns(ranking: Ranking) -> Row:
    """Return the heads of the table."""
    score = f"validation {ranking.monitor or 'score'}"
    tests = [f"test {name}" for name in ranking.metrics]
    return ["#", *ranking.keys, *(["seeds"] if ranking.seeds else []), score, *tests, "trials"]


def rows(ranking: Ranking) -> list[Row]:
    """Return a row for each group, the best first."""
    return [_row(ranking, place, group) for place, group in enumerate(ranking.groups, 1)]


def _row(ranking: Ranking, place: int, group: Group) -> Row:
    seeds = [str(group.score.count if group.score else 0)] if ranking.seeds else []
    best = group.best
    score = str(group.score or "")
    if not score and best is not None and best.score is not None:
        score = f"({best.score:.4g})"  # of trials that have not finished
    tests = [str(group.test.get(name, "")) for name in ranking.metrics]
    return [
        str(place),
        *(group.values.get(key, "") for key in ranking.keys),
        *seeds,
        score,
        *tests,
        told(group),
    ]


def told(group: Group) -> str:
    """Return the numbers of a group's trials, with the state of those that have not finished."""
    return ", ".join(
        str(r.trial.number)
        if r.trial.state == "finished"
        else f"{r.trial.number} ({r.trial.state})"
        for r in group.results
    )


def label(result: Result, keys: Sequence[str]) -> str:
    """Return what tells a trial from the others, as overrides."""
    values = result.values
    return " ".join(f"{key}={values[key]}" for key in keys if key in values)


def failures(results: Sequence[Result], keys: Sequence[str]) -> list[str]:
    """Return a line for each trial that failed or died, with its error."""
    found = []
    for result in results:
        trial = result.trial
        if trial.state in ("failed", "died"):
            why = trial.error or "its process ended without a word"
            found.append(f"trial {trial.number} ({label(result, keys)}) {trial.state}: {why}")
    return found


def as_markdown(ranking: Ranking, lines: Sequence[str]) -> str:
    """Return the table, and the failures under it."""
    head = columns(ranking)
    table = [head, ["---"] * len(head), *rows(ranking)]
    text = "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in table)
    return "\n".join([text, *(["", *(f"- {line}" for line in lines)] if lines else [])]) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("\\", r"\\").replace("|", r"\|")


def as_csv(ranking: Ranking, root: Path) -> str:
    """Return a line for each trial of the ranking: numbers in full, paths relative to ``root``."""
    names = ranking.metrics
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["rank", "trial", "state", *ranking.keys, *(["seed"] if ranking.seeds else [])]
    score = f"val_{ranking.monitor or 'score'}"
    writer.writerow([*head, score, *(f"test_{name}" for name in names), "checkpoint", "error"])
    for place, group in enumerate(ranking.groups, 1):
        for result in group.results:
            values, test = result.values, result.run.test if result.run else {}
            seed = [values.get("seed", "")] if ranking.seeds else []
            path = result.checkpoint.relative_to(root) if result.checkpoint else ""
            writer.writerow(
                [
                    place,
                    result.trial.number,
                    result.trial.state,
                    *(values.get(key, "") for key in ranking.keys),
                    *seed,
                    "" if result.score is None else result.score,
                    *(test.get(name, "") for name in names),
                    path,
                    result.trial.error or "",
                ]
            )
    return stream.getvalue()


def as_json(ranking: Ranking, sweep: Path) -> str:
    """Return the ranking as one JSON object."""
    return json.dumps(finite(content(ranking, sweep)), allow_nan=False)


def content(ranking: Ranking, sweep: Path) -> dict[str, Any]:
    """Return the ranking as nested dicts and lists."""
    return {
        "sweep": str(sweep),
        "monitor": ranking.monitor,
        "mode": ranking.mode,
        "keys": ranking.keys,
        "groups": [
            {
                "values": group.values,
                "score": None if group.score is None else vars(group.score),
                "test": {name: vars(spread) for name, spread in group.test.items()},
                "checkpoint": _text(group.best.checkpoint if group.best else None),
                "trials": [
                    {
                        "trial": result.trial.number,
                        "state": result.trial.state,
                        "seed": result.values.get("seed"),
                        "score": result.score,
                        "test": result.run.test if result.run else {},
                        "error": result.trial.error,
                        "run": _text(result.run.directory.path if result.run else None),
                        "checkpoint": _text(result.checkpoint),
                    }
                    for result in group.results
                ],
            }
            for group in ranking.groups
        ],
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
