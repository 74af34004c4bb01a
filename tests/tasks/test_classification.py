import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.data.spec import Spec
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
