import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.tasks.residuals import Residuals

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_each_targets_errors_are_numpys(offset):
    y = (RNG.normal(size=(50, 3)) * [1, 2, 0.5] + offset).astype(np.float32)
    p = (y + RNG.normal(0.3, [0.1, 1, 2], size=(50, 3))).astype(np.float32)
    mask = RNG.random(50) < 0.6
    residuals = Residuals(3)
    for start in (0, 20, 40):
        rows = slice(start, start + 20)
        given = np.where(mask[rows, None], p[rows], np.nan)  # what is masked may be anything
        residuals.update(
            prediction=jnp.asarray(given), target=jnp.asarray(y[rows]), mask=mask[rows]
        )
    y, p = y[mask].astype(np.float64), p[mask].astype(np.float64)
    error = p - y
    expected = {
        "mae": np.abs(error).mean(0),
        "rmse": np.sqrt((error**2).mean(0)),
        "r2": 1 - (error**2).sum(0) / ((y - y.mean(0)) ** 2).sum(0),
        "bias": error.mean(0),
        "max_error": np.abs(error).max(0),
    }
    found = residuals.compute()._asdict()
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)
    residuals.reset()
    assert all(np.isnan(v).all() for v in residuals.compute())
