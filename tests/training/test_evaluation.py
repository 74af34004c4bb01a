"""Every example counts once: whatever the batch size, an evaluation gives NumPy's numbers."""

import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.data import ArraySource, Spec, Subset
from nnxtrain.tasks import Classification, Regression
from nnxtrain.training.evaluation import evaluate_source, measure
from nnxtrain.training.step import make_eval_step

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(33, 4)).astype(np.float32)
SIZES = range(1, 34)


class First(nnx.Module):
    """The first numbers of the input are the output."""

    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        return x[:, : self.size]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 32, 33, 40])
def test_classification(batch_size):
    labels = RNG.integers(0, 4, 33)
    spec = Spec((4,), "float32", 4, tuple("abcd"))
    weights = [0.5, 1.0, 2.0, 4.0]
    task = Classification(0.1, weights, top_k=[2], macro_f1=True, spec=spec)
    source = ArraySource({"input": INPUTS, "label": labels}, spec)
    step, model = make_eval_step(task), First(4)
    log_p = INPUTS - np.log(np.exp(INPUTS).sum(1, keepdims=True))
    targets = (0.9 * np.eye(4)[labels] + 0.1 / 4) * weights
    for n in SIZES:
        some = Subset(source, np.arange(n))
        found = evaluate_source(step, task, model, some, batch_size=batch_size)
        x, y = INPUTS[:n], labels[:n]
        matrix = np.zeros((4, 4), int)
        np.add.at(matrix, (y, x.argmax(1)), 1)
        occurring = (matrix.sum(0) + matrix.sum(1)) > 0
        f1 = 2 * np.diag(matrix)[occurring] / (matrix.sum(0) + matrix.sum(1))[occurring]
        assert found == pytest.approx(
            {
                "loss": -(targets * log_p)[:n].sum() / np.array(weights)[y].sum(),
                "accuracy": (x.argmax(1) == y).mean(),
                "top2_accuracy": (np.argsort(-x, 1)[:, :2] == y[:, None]).any(1).mean(),
                "macro_f1": f1.mean(),
            },
            rel=1e-5,
        ), n
    details = measure(step, task.diagnostics(), model, source, batch_size=batch_size)
    assert np.asarray(details["confusion_matrix"]).tolist() == matrix.tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 32, 33, 40])
def test_regression(batch_size):
    targets = (INPUTS[:, :2] * [1, 3] + RNG.normal(size=(33, 2)) + 2).astype(np.float32)
    spec = Spec((4,), "float32", target_names=("a", "b"))
    task = Regression("mae", spec=spec)
    source = ArraySource({"input": INPUTS, "target": targets}, spec)
    step, model = make_eval_step(task), First(2)
    for n in SIZES:
        some = Subset(source, np.arange(n))
        found = evaluate_source(step, task, model, some, batch_size=batch_size)
        y = targets[:n]
        error = INPUTS[:n, :2] - y
        assert found == pytest.approx(
            {
                "loss": np.abs(error).mean(),
                "mae": np.abs(error).mean(),
                "rmse": np.sqrt((error**2).mean()),
                "r2": 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum(),
            },
            rel=1e-4,
        ), n
    details = measure(step, task.diagnostics(), model, source, batch_size=batch_size)
    np.testing.assert_allclose(details["residuals"].bias, error.mean(0), rtol=1e-4)
    np.testing.assert_allclose(details["residuals"].max_error, np.abs(error).max(0), rtol=1e-5)
