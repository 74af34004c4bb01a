"""Metrics of classes: accuracy among the best k, the confusion matrix, and what follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain import nnx


class TopK(nnx.metrics.Average):
    """The fraction of examples whose label is among the ``k`` largest logits; of equal logits the first count.

    ``update(logits=float[B, classes], labels=int[B], mask=bool[B])``.

    >>> top2 = TopK(2)
    >>> top2.update(logits=jnp.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]]), labels=jnp.array([2, 0]))
    >>> float(top2.compute())
    0.5
    """

    def __init__(self, k: int):
        super().__init__("right")
        self.k = k

    def update(self, *, logits: jax.Array, labels: jax.Array, mask: Any = None, **_: Any) -> None:  # type: ignore[override]
        best = jax.lax.top_k(logits, self.k)[1]
        super().update(right=(best == labels[..., None]).any(-1), mask=mask)


class ConfusionMatrix(nnx.Metric):
    """How many examples of each class were taken for which: int32[classes, classes], ``[true, predicted]``.

    ``update(logits=float[B, classes], labels=int[B], mask=bool[B])``. A label that is none of the classes counts nowhere.

    >>> matrix = ConfusionMatrix(2)
    >>> matrix.update(logits=jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), labels=jnp.array([0, 0, 1]))
    >>> matrix.compute().tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(self, num_classes: int):
        self.counts = nnx.metrics.MetricState(jnp.zeros((num_classes, num_classes), jnp.int32))

    def reset(self) -> None:
        self.counts.value = jnp.zeros_like(self.counts.value)

    def update(self, *, logits: jax.Array, labels: jax.Array, mask: Any = None, **_: Any) -> None:  # type: ignore[override]
        counted = labels >= 0  # a negative index would count from the end
        if mask is not None:
            counted &= jnp.asarray(mask, bool)
        place = (labels, logits.argmax(-1))
        self.counts.value = self.counts.value.at[place].add(counted.astype(jnp.int32), mode="drop")

    def compute(self) -> jax.Array:
        return self.counts.value


class MacroF1(ConfusionMatrix):
    """The mean of the classes' F1 scores; a class that neither occurs nor is predicted is left out."""

    def compute(self) -> jax.Array:
        return jnp.nanmean(class_scores(super().compute()).f1)


class ClassScores(NamedTuple):
    """Scores of each class, float32[classes], and ``support`` int32[classes], how many examples it has.

    NaN is what is not defined: the precision of a class that is never predicted, the recall of one that does not occur, the
    F1 score of one that does neither.
    """

    precision: jax.Array
    recall: jax.Array
    f1: jax.Array
    support: jax.Array


def class_scores(confusion: Any) -> ClassScores:
    """Return each class's scores, given int[classes, classes], ``[true, predicted]``.

    >>> scores = class_scores(jnp.array([[2, 2], [0, 2]]))
    >>> scores.precision.tolist(), scores.recall.tolist(), scores.support.tolist()
    ([1.0, 0.5], [0.5, 1.0], [4, 2])
    """
    right, predicted, support = jnp.diagonal(confusion), confusion.sum(0), confusion.sum(1)
    return ClassScores(
        right / predicted, right / support, 2 * right / (predicted + support), support
    )


class Confusion(NamedTuple):
    """``examples`` of class ``true`` were taken for class ``predicted``: ``share`` of all examples of ``true``."""

    true: int
    predicted: int
    examples: int
    share: float


def confusions(matrix: np.ndarray, limit: int) -> list[Confusion]:
    """Return the pairs of classes most often confused, given int[classes, classes], ``[true, predicted]``.

    >>> confusions(np.array([[3, 1], [2, 4]]), limit=1)[0]._asdict()
    {'true': 1, 'predicted': 0, 'examples': 2, 'share': 0.3333333333333333}
    """
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    totals = matrix.sum(1).tolist()
    pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, wrong.shape)))
    found = [(true, predicted, int(wrong[true, predicted])) for true, predicted in pairs]
    return [Confusion(t, p, count, count / totals[t]) for t, p, count in found if count]
