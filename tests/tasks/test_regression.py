import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.data import Spec
from nnxtrain.tasks import Regression

SPEC = Spec((3,), "float32", mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0), target_names=("a", "b"))
RNG = np.random.default_rng(0)
BATCHES = [
    {
        "input": RNG.normal(size=(n, 3)).astype(np.float32),
        "target": RNG.normal(5, 2, size=(n, 2)).astype(np.float32),
        "mask": RNG.random(n) < 0.6,
    }
    for n in (7, 4, 9)
]


class Model(nnx.Module):
    def __call__(self, x):
        return x[:, :2] + 4


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_losses_and_metrics_equal_numpys(loss):
    task = Regression(loss, spec=SPEC)
    metrics = task.metrics()
    predictions, targets, losses = [], [], []
    for batch in BATCHES:
        outputs = task.outputs(Model(), {k: jnp.asarray(v) for k, v in batch.items()})
        metrics.update(**outputs, mask=jnp.asarray(batch["mask"]))
        seen = batch["mask"]
        x = (batch["input"] - SPEC.mean) / SPEC.std
        predictions.append((x[:, :2] + 4)[seen])
        targets.append(batch["target"][seen])
        losses.append(np.asarray(outputs["loss"])[seen])
    p, y = np.concatenate(predictions), np.concatenate(targets)
    error = np.abs(p - y)
    expected_loss = {
        "mse": error**2,
        "mae": error,
        "huber": np.where(error <= 1, error**2 / 2, error - 0.5),
    }[loss]
    computed = {name: float(value) for name, value in metrics.compute().items()}
    assert computed == pytest.approx(
        {
            "loss": expected_loss.mean(),
            "mae": error.mean(),
            "rmse": np.sqrt((error**2).mean()),
            "r2": 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum(),
        },
        rel=1e-5,
    )
    np.testing.assert_allclose(np.concatenate(losses), expected_loss.mean(-1), rtol=1e-5)


def test_one_target_needs_no_axis():
    spec = Spec((3,), "float32", target_names=("a",))
    batch = {"input": jnp.ones((4, 3)), "target": jnp.ones((4, 1))}
    outputs = Regression(spec=spec).outputs(lambda x: x[:, 0], batch)
    assert outputs["loss"].tolist() == [0.0] * 4
    with pytest.raises(ValueError, match=r"output \[4, 3\] must have one number for each target"):
        Regression(spec=spec).outputs(lambda x: x, batch)


def test_an_unknown_loss():
    with pytest.raises(ValueError, match="mse, mae, huber; it got 'l2'"):
        Regression("l2", spec=SPEC)
