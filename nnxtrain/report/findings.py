"""What a model gets right and wrong, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nnxtrain.report.charts import scatter_chart
from nnxtrain.report.examination import Classes, Examination, Mistake
from nnxtrain.report.html import section, table
from nnxtrain.report.pictures import picture

LARGEST_MATRIX = 25  # classes; beyond, the pairs most often confused say more


def findings(found: Examination, run: str = "") -> str:
    """Return the sections on classes, mistakes and targets; ``run`` names the run where there are several."""
    of = f" of {run}" if run else ""
    where = (
        f"{found.examples:,} examples of the {found.split} split, checkpoint of step {found.step:,}"
    )
    parts = [f'<p class="soft">{escape(where)}</p>']
    if found.classes:
        parts.append(
            f'<div class="grid split">{_confusions(found.classes)}{_scores(found.classes)}</div>'
        )
    if found.targets:
        charts = "".join(
            f'<div class="card"><h3>{escape(name)}: prediction against target</h3>'
            + scatter_chart(
                name,
                [(float(a), float(b)) for a, b in pairs],
                x_label="target",
                y_label="prediction",
            )
            + "</div>"
            for name, pairs in found.targets.items()
        )
        parts.append(f'<div class="grid charts">{charts}</div>')
    mistakes = section(f"Worst mistakes{of}", _mistakes(found.mistakes)) if found.mistakes else ""
    return (section(f"Predictions{of}", *parts) if len(parts) > 1 else "") + mistakes


def _confusions(classes: Classes) -> str:
    if len(classes.names) > LARGEST_MATRIX:
        rows = [
            (label, wrong, count, f"{share:.1%}")
            for label, wrong, count, share in classes.confusions()
        ]
        listed = table(
            ["class", "taken for", "examples", "of the class"], rows, caption="Most often confused"
        )
        return f'<div class="card">{listed}</div>'
    head = "".join(
        f'<th scope="col" title="{escape(name)}">{escape(name)}</th>' for name in classes.names
    )
    body = ""
    for number, (name, row) in enumerate(zip(classes.names, classes.matrix.tolist())):
        total = sum(row) or 1
        cells = "".join(
            f'<td{" class=right" if column == number else ""} style="--share:{count / total:.3f}">{count}</td>'
            for column, count in enumerate(row)
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        '<div class="card"><div class="scroll" tabindex="0" role="region" aria-label="confusion matrix">'
        '<table class="matrix">'
        "<caption>Confusion matrix: a row is what an example is, a column what it was taken for</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _scores(classes: Classes) -> str:
    listed = table(
        ["class", "examples", "precision", "recall", "F1"], classes.scores(), caption="Each class"
    )
    return f'<div class="card">{listed}</div>'


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    pictures = [picture(mistake.input) for mistake in mistakes]
    said = '<p class="soft">Wrong predictions that the model was surest of.</p>'
    if not all(pictures):
        rows = [(m.id, m.label, m.prediction, f"{m.probability:.1%}") for m in mistakes]
        return said + table(["example", "is", "taken for", "probability"], rows)
    figures = "".join(
        f'<figure><img src="{source}" alt="example {m.id}: {escape(m.label)}, taken for {escape(m.prediction)}">'
        f"<figcaption>{escape(m.label)}, taken for <strong>{escape(m.prediction)}</strong> "
        f'<span class="soft">{m.probability:.1%}</span></figcaption></figure>'
        for m, source in zip(mistakes, pictures)
    )
    return f'{said}<div class="grid mistakes">{figures}</div>'
