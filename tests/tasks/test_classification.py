import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks import Classification

SPEC = Spec((2, 2, 3), "uint8", 4, ("a", "b", "c", "d"), (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
RNG = np.random.default_rng(0)
BATCH = {
    "input": RNG.integers(0, 256, (5, 2, 2, 3)).astype(np.uint8),
    "label": RNG.integers(0, 4, 5).astype(np.int32),
}


def test_inputs_are_standardised_by_channel():
    expected = (BATCH["input"] / 255.0 - SPEC.mean) / SPEC.std
    np.testing.assert_allclose(
        Classification(spec=SPEC).inputs(BATCH), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_cross_entropy(smoothing):
    logits = RNG.normal(size=(5, 4))
    outputs = Classification(smoothing, spec=SPEC).outputs(lambda x: jnp.asarray(logits), BATCH)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.eye(4)[BATCH["label"]] * (1 - smoothing) + smoothing / 4
    np.testing.assert_allclose(outputs["loss"], -(targets * log_p).sum(-1), rtol=1e-5)
    metrics = Classification(spec=SPEC).metrics()
    metrics.update(**outputs, mask=jnp.array([1, 1, 1, 0, 0], bool))
    right = (logits.argmax(-1) == BATCH["label"])[:3]
    np.testing.assert_allclose(metrics.compute()["accuracy"], right.mean(), rtol=1e-6)


def test_a_bad_smoothing_is_refused():
    with pytest.raises(ValueError, match="0 to 1"):
        Classification(1.0, spec=SPEC)


# PyTorch 2.13: CrossEntropyLoss(weight=WEIGHTS, label_smoothing=...)(LOGITS, LABELS), and its gradient's first row; for
# SHARES (mixed labels) the sum over examples, of which PyTorch takes the mean with equal weights.
LOGITS = jnp.array([
    [0.25, -0.26, 1.28, 0.21], [-1.07, 0.72, 2.61, 1.89], [-1.41, -2.53, -1.25, 0.08],
    [-4.65, -0.44, -2.49, -1.46], [-1.09, -0.63, 0.82, 2.09], [-0.26, 2.73, -1.33, 0.7],
])  # fmt: skip
LABELS = jnp.array([0, 1, 2, 3, 1, 1], jnp.int32)
SHARES = jnp.array([
    [0.39, 0.09, 0.1, 0.42], [0.5, 0.09, 0.06, 0.35], [0.15, 0.23, 0.29, 0.33],
    [0.52, 0.03, 0.26, 0.19], [0.5, 0.16, 0.12, 0.22], [0.1, 0.27, 0.04, 0.59],
])  # fmt: skip
WEIGHTS = [0.5, 1.0, 2.0, 3.5]
TORCH = [
    (None, 0.0, 1.7521013, [-0.135586, 0.018664, 0.08706, 0.029862], 13.7366077),
    (None, 0.1, 1.7809763, [-0.123086, 0.014497, 0.082893, 0.025696], 13.5874577),
    (WEIGHTS, 0.0, 1.6689303, [-0.045195, 0.006221, 0.02902, 0.009954], 18.9614215),
    (WEIGHTS, 0.1, 1.6938935, [-0.038439, 0.004999, 0.030719, 0.00272], 18.7919856),
]


def torch_like(task, labels):
    """The weighted mean that training minimises, as a function of the logits."""

    def loss(logits):
        outputs = task.outputs(
            lambda x: logits, {"input": jnp.zeros((6, 2, 2, 3)), "label": labels}
        )
        weight = outputs.get("weight", jnp.ones(6))
        return (outputs["loss"] * weight).sum() / weight.sum()

    return loss


@pytest.mark.parametrize(("weights", "smoothing", "loss", "grad", "soft"), TORCH)
def test_weights_and_smoothing_are_pytorchs(weights, smoothing, loss, grad, soft):
    task = Classification(smoothing, weights, spec=SPEC)
    for labels in (LABELS, jax.nn.one_hot(LABELS, 4)):
        value, gradient = jax.value_and_grad(torch_like(task, labels))(LOGITS)
        np.testing.assert_allclose(value, loss, rtol=1e-5)
        np.testing.assert_allclose(gradient[0], grad, rtol=1e-3, atol=1e-6)
    mean_weight = 1 if weights is None else (SHARES @ jnp.array(weights)).mean()
    np.testing.assert_allclose(torch_like(task, SHARES)(LOGITS), soft / 6 / mean_weight, rtol=1e-5)


@pytest.mark.parametrize("mask", [None, [1, 1, 0, 1, 0, 1]])
def test_the_loss_metric_is_the_weighted_mean_over_batches(mask):
    task = Classification(0.1, WEIGHTS, spec=SPEC)
    metrics = task.metrics()
    for rows in (slice(0, 4), slice(4, 6)):
        batch = {"input": jnp.zeros((6, 2, 2, 3))[rows], "label": LABELS[rows]}
        seen = {} if mask is None else {"mask": jnp.array(mask, bool)[rows]}
        metrics.update(**task.outputs(lambda x, rows=rows: LOGITS[rows], batch), **seen)
    seen = np.array(mask or [1] * 6, bool)
    outputs = task.outputs(lambda x: LOGITS, {"input": jnp.zeros((6, 2, 2, 3)), "label": LABELS})
    w = np.array(WEIGHTS)[LABELS] * seen
    expected = (np.asarray(outputs["loss"]) * w).sum() / w.sum()
    np.testing.assert_allclose(metrics.compute()["loss"], expected, rtol=1e-6)


def test_mixed_labels_count_as_their_largest_share():
    task = Classification(spec=SPEC)
    outputs = task.outputs(
        lambda x: LOGITS, {"input": jnp.zeros((6, 2, 2, 3)), "label": SHARES.astype(jnp.float32)}
    )
    assert outputs["labels"].tolist() == np.asarray(SHARES).argmax(1).tolist()
    metrics = task.metrics()
    metrics.update(**outputs)
    right = np.asarray(LOGITS).argmax(1) == np.asarray(SHARES).argmax(1)
    np.testing.assert_allclose(metrics.compute()["accuracy"], right.mean())


def test_balanced_weights_are_by_the_train_split():
    spec = Spec((2,), "float32", 3, ("a", "b", "c"), class_counts=(10, 20, 70))
    weights = Classification(class_weights="balanced", spec=spec).class_weights
    np.testing.assert_allclose(weights, [100 / 30, 100 / 60, 100 / 210])
    assert np.dot(weights, spec.class_counts) == pytest.approx(100)


def test_given_statistics_replace_the_data_sets():
    task = Classification(mean=[0.1, 0.2, 0.3], std=0.5, spec=SPEC)
    expected = (BATCH["input"] / 255.0 - [0.1, 0.2, 0.3]) / 0.5
    np.testing.assert_allclose(task.inputs(BATCH), expected, rtol=1e-5, atol=1e-6)


def test_predictions_with_and_without_labels():
    task = Classification(spec=SPEC)
    inputs = {"input": jnp.zeros((6, 2, 2, 3))}
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    for batch in (inputs, inputs | {"label": LABELS}):
        found = task.predictions(task.outputs(lambda x: LOGITS, batch))
        np.testing.assert_allclose(found["probabilities"], p, rtol=1e-5)
        np.testing.assert_allclose(found["probability"], p.max(-1), rtol=1e-5)
        assert found["prediction"].tolist() == p.argmax(-1).tolist()
        assert ("label" in found) == ("label" in batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1, 2]}, r"2 numbers for 4 classes \(a, b, c, d\)"),
        ({"class_weights": [1, 2, 0, 1]}, "positive numbers, got 0"),
        ({"class_weights": "balance"}, "or balanced; got 'balance'"),
        ({"class_weights": "balanced"}, "how many examples each class has"),
        ({"top_k": [5]}, "5 of 4 classes; give numbers from 1 to 3"),
        ({"mean": [0.5] * 3}, "give both task.mean and task.std"),
        ({"mean": [0.5] * 2, "std": 1.0}, "task.mean: 2 numbers, and the data has 3 channels"),
        ({"mean": 0.5, "std": 0.0}, "deviations are positive"),
    ],
)
def test_what_cannot_be_used_is_said(options, message):
    with pytest.raises(InputError, match=message):
        Classification(**options, spec=SPEC)


def test_other_data_and_other_models_are_refused():
    with pytest.raises(InputError, match="want task=regression"):
        Classification(spec=Spec((3,), "float32", target_names=("y",)))
    with pytest.raises(InputError, match="want task=language_model"):
        Classification(spec=Spec((3,), "int32", vocab_size=9))
    with pytest.raises(InputError, match=r"output is \[5, 3\].* each of the 4 classes"):
        Classification(spec=SPEC).outputs(lambda x: jnp.zeros((5, 3)), BATCH)
