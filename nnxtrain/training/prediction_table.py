"""Predictions as a table: a column for each thing that is said of an example, written as CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from nnxtrain.data.spec import Spec
from nnxtrain.storage.json_values import finite
from nnxtrain.training.host_values import plain

Format = Literal["csv", "jsonl"]


def columns(
    names: Sequence[str] | None,
    arrays: Mapping[str, np.ndarray],
    spec: Spec,
    *,
    probabilities: bool = False,
) -> dict[str, list[Any]]:
    """Return columns of plain values by name, all of one length.

    The first is ``file``, or ``id``, the number in the split. Then of classes: ``prediction``, the class's name,
    ``probability``, and where the truth is known ``label`` and ``correct``; of numbers: a column for each target, with its
    name, and where the truth is known ``true_<name>``. What else a task predicts has the names it gives, numbered where
    an example has several values.

    Args:
      names: of the examples, or None.
      arrays: the task's predictions.
      spec: the data's.
      probabilities: add ``probability_<class>`` for each class.

    >>> spec = Spec((2,), "float32", 2, ("cat", "dog"))
    >>> arrays = {"prediction": np.array([1, 0]), "label": np.array([1, 1]), "probability": np.float32([0.9, 0.6])}
    >>> for name, values in columns(["a.png", "b.png"], arrays, spec).items():
    ...     print(name, values)
    file ['a.png', 'b.png']
    prediction ['dog', 'cat']
    probability [0.9, 0.6]
    label ['dog', 'dog']
    correct [True, False]
    """
    size = len(next(iter(arrays.values())))
    table: dict[str, list[Any]] = {"file": list(names)} if names else {"id": list(range(size))}
    for name in sorted(arrays, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n)):
        if name != "probabilities" or probabilities:
            for column, values in _named(name, arrays[name], spec):
                table[f"predicted_{column}" if column in table else column] = values
        if name == "label" and arrays[name].ndim == 1:
            table["correct"] = (arrays["prediction"] == arrays["label"]).tolist()
    return table


_ORDER = ("prediction", "probability", "target", "label", "probabilities")


def _named(name: str, values: np.ndarray, spec: Spec) -> Iterator[tuple[str, list[Any]]]:
    """The columns that an array becomes."""
    classes, targets = spec.class_names, spec.target_names
    if values.ndim == 1:
        numbers = plain(values)
        of_class = name in ("prediction", "label") and classes
        yield name, [classes[number] for number in numbers] if of_class else numbers
        return
    rows = values.reshape(len(values), -1)
    parts: Sequence[str] = [f"{name}_{number}" for number in range(rows.shape[1])]
    if name == "probabilities":
        parts = [f"probability_{class_name}" for class_name in classes]
    elif name in ("prediction", "target") and len(targets) == rows.shape[1]:
        parts = targets if name == "prediction" else [f"true_{target}" for target in targets]
    yield from ((part, plain(rows[:, column])) for column, part in enumerate(parts))


def as_text(table: Mapping[str, Sequence[Any]], format: Format) -> str:
    """Return a table as CSV with a header, or as JSON lines (NaN and infinities as null).

    >>> print(as_text({"file": ["a,b.png"], "correct": [True]}, "csv"), end="")
    file,correct
    "a,b.png",true
    >>> print(as_text({"file": ["a.png"], "y": [float("nan")]}, "jsonl"), end="")
    {"file": "a.png", "y": null}
    """
    text = io.StringIO()
    rows = zip(*table.values())
    if format == "csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(
            [str(v).lower() if isinstance(v, bool) else v for v in row] for row in rows
        )
    else:
        for row in rows:
            text.write(json.dumps(finite(dict(zip(table, row))), ensure_ascii=False) + "\n")
    return text.getvalue()
