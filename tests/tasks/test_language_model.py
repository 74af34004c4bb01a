import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.data import Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks import LanguageModel

SPEC = Spec((6,), "int32", vocab_size=5)
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (3, 6, 5)).astype(np.float32)
BATCH = {
    "input": RNG.integers(0, 5, (3, 6)).astype(np.int32),
    "label": RNG.integers(0, 5, (3, 6)).astype(np.int32),
    "weight": (RNG.random((3, 6)) < 0.7).astype(np.float32),
}
LOG_Z = np.log(np.exp(LOGITS.astype(np.float64)).sum(-1))
LOG_P = LOGITS - LOG_Z[..., None]
NLL = -np.take_along_axis(LOG_P, BATCH["label"][..., None], -1)[..., 0]


def outputs_of(task, batch=BATCH):
    return task.outputs(lambda x: jnp.asarray(LOGITS), batch)


@pytest.mark.parametrize(("smoothing", "z_loss"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.01)])
def test_the_loss_of_each_token(smoothing, z_loss):
    outputs = outputs_of(LanguageModel(smoothing, z_loss, spec=SPEC))
    targets = np.eye(5)[BATCH["label"]] * (1 - smoothing) + smoothing / 5
    expected = -(targets * LOG_P).sum(-1) + z_loss * LOG_Z**2
    np.testing.assert_allclose(outputs["loss"], expected, rtol=1e-4)
    np.testing.assert_array_equal(outputs["weight"], BATCH["weight"])


def test_metrics_count_each_weighted_token_once_and_no_smoothing():
    task = LanguageModel(0.1, 0.01, spec=SPEC)
    metrics = task.metrics()
    mask = np.array([True, True, False])
    metrics.update(**outputs_of(task), mask=jnp.asarray(mask))
    unweighted = {name: value for name, value in BATCH.items() if name != "weight"}
    metrics.update(**outputs_of(task, unweighted))
    counted = np.concatenate([BATCH["weight"] * mask[:, None], np.ones((3, 6))])
    right = np.tile(LOGITS.argmax(-1) == BATCH["label"], (2, 1))
    loss = (np.tile(NLL, (2, 1)) * counted).sum() / counted.sum()
    computed = {name: float(value) for name, value in metrics.compute().items()}
    assert computed == pytest.approx(
        {
            "loss": loss,
            "perplexity": np.exp(loss),
            "bits_per_token": loss / np.log(2),
            "accuracy": (right * counted).sum() / counted.sum(),
        },
        rel=1e-5,
    )


def test_loss_by_position():
    task = LanguageModel(spec=SPEC)
    diagnostics = task.diagnostics()
    mask = np.array([True, False, True])
    diagnostics.update(**outputs_of(task), mask=jnp.asarray(mask))
    counted = BATCH["weight"] * mask[:, None]
    with np.errstate(invalid="ignore"):
        expected = (NLL * counted).sum(0) / counted.sum(0)
    np.testing.assert_allclose(diagnostics.compute()["loss_by_position"], expected, rtol=1e-4)


def test_predictions():
    task = LanguageModel(spec=SPEC)
    found = task.predictions(outputs_of(task))
    right = LOGITS.argmax(-1) == BATCH["label"]
    loss = np.average(NLL, axis=-1, weights=BATCH["weight"])
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(found["perplexity"], np.exp(loss), rtol=1e-4)
    accuracy = np.average(right, axis=-1, weights=BATCH["weight"])
    np.testing.assert_allclose(found["accuracy"], accuracy, rtol=1e-5)
    without_labels = task.predictions(outputs_of(task, {"input": BATCH["input"]}))
    np.testing.assert_array_equal(without_labels["prediction"], LOGITS.argmax(-1))


def test_what_does_not_fit():
    with pytest.raises(InputError, match="data=text"):
        LanguageModel(spec=Spec((8, 8, 1), "uint8", num_classes=3))
    with pytest.raises(InputError, match=r"output is \[3, 6, 5\].*has to be \[3, 6, 7\]"):
        outputs_of(LanguageModel(spec=Spec((6,), "int32", vocab_size=7)))
    for options in ({"label_smoothing": 1.0}, {"z_loss": -1.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            LanguageModel(**options, spec=SPEC)
