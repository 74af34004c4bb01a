"""What a task's diagnostics say, as plain Python with names: for JSON, tables and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nnxtrain.data.spec import Spec
from nnxtrain.tasks.class_metrics import class_scores
from nnxtrain.training.host_values import plain


def details(diagnostics: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Return the values of ``task.diagnostics()`` as lists, numbers and strings.

    A confusion matrix comes with ``class_names`` and with ``classes``, a dict of scores for each class; ``residuals`` become
    ``targets``, a dict for each target. Other arrays become lists. NaN stands for what is not defined.

    >>> spec = Spec((2,), "float32", 2, ("cat", "dog"))
    >>> found = details({"confusion_matrix": np.array([[3, 1], [0, 0]])}, spec)
    >>> found["classes"][0]
    {'class': 'cat', 'precision': 1.0, 'recall': 0.75, 'f1': 0.85714287, 'support': 4}
    >>> found["confusion_matrix"], found["class_names"]
    ([[3, 1], [0, 0]], ['cat', 'dog'])
    """
    found: dict[str, Any] = {}
    for name, value in jax.device_get(dict(diagnostics)).items():
        if name == "confusion_matrix":
            found["class_names"] = list(spec.class_names)
            found[name] = value.tolist()
            found["classes"] = _rows("class", spec.class_names, class_scores(value)._asdict())
        elif name == "residuals":
            found["targets"] = _rows("target", spec.target_names, value._asdict())
        else:
            found[name] = jax.tree.map(lambda x: np.asarray(x).tolist(), value)
    return found


def _rows(key: str, names: tuple[str, ...], columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dict for each name, with its number of each column."""
    lists = {column: plain(np.asarray(values)) for column, values in columns.items()}
    return [
        {key: name, **{column: values[row] for column, values in lists.items()}}
        for row, name in enumerate(names)
    ]
