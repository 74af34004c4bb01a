"""Compared with counts that NumPy makes one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.tasks.class_metrics import ConfusionMatrix, MacroF1, TopK, class_scores

RNG = np.random.default_rng(1)
K = 4
LABELS = RNG.integers(0, 3, 40)  # class 3 never occurs
LOGITS = RNG.normal(size=(40, K)).astype(np.float32)
LOGITS[:, 3] -= RNG.choice([0, 9], 40)
MASK = RNG.random(40) < 0.7


def fed(metric, size=16):
    for start in range(0, 40, size):
        rows = slice(start, start + size)
        metric.update(logits=jnp.asarray(LOGITS[rows]), labels=jnp.asarray(LABELS[rows]), mask=MASK[rows])  # fmt: skip
    return np.asarray(metric.compute())


def by_hand():
    matrix = np.zeros((K, K), int)
    for true, row, seen in zip(LABELS, LOGITS, MASK):
        matrix[true, row.argmax()] += seen
    return matrix


def test_the_confusion_matrix_counts_what_is_not_masked():
    metric = ConfusionMatrix(K)
    assert fed(metric).tolist() == by_hand().tolist()
    metric.reset()
    assert metric.compute().sum() == 0
    assert metric.compute().dtype == jnp.int32


def test_a_label_that_is_no_class_counts_nowhere():
    metric = ConfusionMatrix(2)
    metric.update(logits=jnp.eye(3, 2), labels=jnp.array([-1, 2, 0]))
    assert metric.compute().tolist() == [[1, 0], [0, 0]]


def test_scores_of_each_class():
    matrix = by_hand()
    scores = class_scores(jnp.asarray(matrix))
    for k in range(K):
        right, said, is_ = matrix[k, k], matrix[:, k].sum(), matrix[k].sum()
        assert scores.support[k] == is_
        assert scores.precision[k] == pytest.approx(right / said, nan_ok=True)
        if is_:
            assert scores.recall[k] == pytest.approx(right / is_)
        else:
            assert np.isnan(scores.recall[k])
    # The harmonic mean; of class 3, which is predicted and does not occur, 0 as scikit-learn has it.
    p, r = np.asarray(scores.precision)[:3], np.asarray(scores.recall)[:3]
    expected = [*(2 * p * r / (p + r)), 0]
    np.testing.assert_allclose(scores.f1, expected, rtol=1e-5)
    np.testing.assert_allclose(fed(MacroF1(K)), np.mean(expected), rtol=1e-5)


def test_macro_f1_leaves_out_what_plays_no_part():
    metric = MacroF1(3)
    metric.update(logits=jnp.eye(3)[:2], labels=jnp.array([0, 1]))
    assert float(metric.compute()) == 1.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k):
    best = np.argsort(-LOGITS, axis=1)[:, :k]
    right = (best == LABELS[:, None]).any(1)[MASK]
    np.testing.assert_allclose(fed(TopK(k)), right.mean(), rtol=1e-6)


def test_equal_logits_do_not_all_count():
    metric = TopK(1)
    metric.update(logits=jnp.zeros((2, 3)), labels=jnp.array([0, 2]))
    assert float(metric.compute()) == 0.5
