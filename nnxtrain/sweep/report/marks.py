"""What is drawn of a trial, the same in every picture, so that the page's script finds it in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from nnxtrain.report.axes import Point
from nnxtrain.sweep.results import Ranking, Result
from nnxtrain.sweep.table import label

LARGEST = 1000  # trials in a picture; more cannot be told apart


@dataclass(frozen=True)
class Mark:
    """A trial that has a score. ``share`` is its place among all of them: 0 the worst, 1 the best."""

    result: Result
    score: float
    share: float
    told: str

    @property
    def number(self) -> int:
        """The trial's."""
        return self.result.trial.number

    @property
    def kind(self) -> str:
        """How it is drawn: ``finished``, ``pruned``, or ``partial`` (it runs, or ended otherwise)."""
        state = self.result.trial.state
        return state if state in ("finished", "pruned") else "partial"

    def dot(self, place: Point) -> str:
        """Return it as a point: full, hollow, or a small square."""
        x, y = place
        shape = (
            f'<rect x="{x - 3}" y="{y - 3}" width="6" height="6"'
            if self.kind == "partial"
            else f'<circle cx="{x}" cy="{y}" r="3.6"'
        )
        return f"{shape} {self._attributes}><title>{escape(self.told)}</title></{shape[1:].split()[0]}>"

    def line(self, path: str) -> str:
        """Return it as a line, dashed unless it has finished."""
        return (
            f'<polyline points="{path}" {self._attributes}>'
            f"<title>{escape(self.told)}</title></polyline>"
        )

    @property
    def _attributes(self) -> str:
        return (
            f'class="mark {self.kind}" data-trial="{self.number}" style="--share:{self.share:.0%}"'
        )


def marks_of(ranking: Ranking) -> list[Mark]:
    """Return the trials with a score, the best first, at most :data:`LARGEST`."""
    scored = [
        (r.score, r) for group in ranking.groups for r in group.results if r.score is not None
    ]
    scored.sort(key=lambda pair: pair[0], reverse=ranking.mode == "max")
    last = max(1, len(scored) - 1)
    keys = [*ranking.keys, *(["seed"] if ranking.seeds else [])]
    return [
        Mark(result, score, 1 - place / last, _told(result, score, ranking, keys))
        for place, (score, result) in enumerate(scored[:LARGEST])
    ]


def legend(marks: Sequence[Mark], *, lines: bool) -> str:
    """Return what colours and shapes mean, of those that occur."""
    named = {"finished": "finished", "pruned": "pruned", "partial": "not finished"}
    kinds = [kind for kind in named if any(mark.kind == kind for mark in marks)]
    shapes = {
        "finished": '<circle cx="13" cy="5" r="3.6" class="mark finished"/>',
        "pruned": '<circle cx="13" cy="5" r="3.6" class="mark pruned"/>',
        "partial": '<rect x="10" y="2" width="6" height="6" class="mark partial"/>',
    }
    if lines:
        shapes = {kind: f'<polyline points="0,5 26,5" class="mark {kind}"/>' for kind in named}
    items = "".join(
        f'<li><svg viewBox="0 0 26 10" aria-hidden="true">{shapes[kind]}</svg>{named[kind]}</li>'
        for kind in kinds
    )
    scale = '<li><span class="ramp" aria-hidden="true"></span>worst to best trial</li>'
    return f'<ul class="legend">{items}{scale if len(marks) > 1 else ""}</ul>'


def _told(result: Result, score: float, ranking: Ranking, keys: Sequence[str]) -> str:
    state = "" if result.trial.state == "finished" else f", {result.trial.state}"
    values = label(result, keys)
    return f"trial {result.trial.number}{f' ({values})' if values else ''}: {ranking.monitor} {score:.4g}{state}"
