"""What a trained model gets right and wrong on a split. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mistake:
    """An example that the model got wrong: its number in the split, names of classes, the probability of the wrong one, and
    the input (any shape and dtype)."""

    id: int
    label: str
    prediction: str
    probability: float
    input: np.ndarray


@dataclass(frozen=True)
class Classes:
    """How each class came out. ``matrix`` int[C, C] counts examples by label (rows) and prediction (columns)."""

    names: tuple[str, ...]
    matrix: np.ndarray

    def scores(self) -> list[tuple[str, int, float, float, float]]:
        """For each class its name, number of examples, precision, recall and F1; NaN where it is not defined.

        >>> Classes(("cat", "dog"), np.array([[3, 1], [0, 4]])).scores()[0]
        ('cat', 4, 1.0, 0.75, 0.857...)
        """
        from nnxtrain.tasks.class_metrics import class_scores  # jax

        scores = class_scores(self.matrix)
        columns = (scores.support, scores.precision, scores.recall, scores.f1)
        rows = zip(*(np.asarray(column).tolist() for column in columns))
        return [(name, *row) for name, row in zip(self.names, rows)]

    def confusions(self, limit: int = 20) -> list[tuple[str, str, int, float]]:
        """The pairs most often confused: label, prediction, how often, and that share of the label's examples.

        >>> Classes(("cat", "dog"), np.array([[3, 1], [0, 4]])).confusions()
        [('cat', 'dog', 1, 0.25)]
        """
        from nnxtrain.tasks.class_metrics import confusions  # jax

        found = confusions(self.matrix, limit)
        return [(self.names[c.true], self.names[c.predicted], c.examples, c.share) for c in found]


@dataclass(frozen=True)
class Examination:
    """A model on a split: which one, at which step, over how many examples, and what was found."""

    split: str
    step: int
    examples: int
    classes: Classes | None = None
    mistakes: Sequence[Mistake] = ()
    targets: Mapping[str, np.ndarray] | None = (
        None  # by name float[N, 2]: what was to be predicted, and what was
    )


def classes_of(label: np.ndarray, prediction: np.ndarray, names: Sequence[str]) -> Classes:
    """Count labels int[N] and predictions int[N] over the classes of these names; a label of -1 is not known."""
    count = len(names)
    label, prediction = label[label >= 0], prediction[label >= 0]
    pairs = np.bincount(label.astype(np.int64) * count + prediction, minlength=count * count)
    return Classes(tuple(names), pairs.reshape(count, count))


def worst(
    label: np.ndarray, prediction: np.ndarray, probability: np.ndarray, limit: int
) -> np.ndarray:
    """Return the ids, at most ``limit``, of the wrong predictions that were made with most confidence, those first.

    >>> worst(np.array([0, 1, 1]), np.array([1, 1, 0]), np.array([0.6, 0.9, 0.8]), 5)
    array([2, 0])
    """
    wrong = np.flatnonzero((label != prediction) & (label >= 0))
    return wrong[np.argsort(-probability[wrong], kind="stable")][:limit]
