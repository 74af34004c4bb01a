"""Pooling beyond its numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nnxtrain import nnx


@pytest.mark.parametrize(
    ("function", "reduce"),
    [(nnx.max_pool, np.max), (nnx.min_pool, np.min), (nnx.avg_pool, np.mean)],
)
def test_pooling_reduces_windows(function, reduce):
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    y = function(jnp.asarray(x), (2, 3), strides=(2, 3))
    blocks = x.reshape(2, 3, 2, 2, 3, 3)
    np.testing.assert_allclose(y, reduce(blocks, axis=(2, 4)), rtol=1e-5, atol=1e-6)


def test_average_pooling_may_leave_out_the_padding():
    x = jnp.ones((1, 4, 1))
    np.testing.assert_allclose(nnx.avg_pool(x, (3,), padding="SAME")[0, :, 0], [2 / 3, 1, 1, 2 / 3])
    np.testing.assert_allclose(
        nnx.avg_pool(x, (3,), padding="SAME", count_include_pad=False)[0, :, 0], [1] * 4
    )


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_half_precision_stays_half(count_include_pad):
    y = nnx.avg_pool(jnp.ones((1, 4, 1), jnp.bfloat16), (2,), count_include_pad=count_include_pad)
    assert y.dtype == jnp.bfloat16


def test_integers_have_a_lowest_and_a_highest():
    x = jnp.array([-5, 3, 7], jnp.int8).reshape(1, 3, 1)
    assert nnx.max_pool(x, (3,), padding="SAME").ravel().tolist() == [3, 7, 7]
    assert nnx.min_pool(x, (3,), padding="SAME").ravel().tolist() == [-5, -5, 3]


def test_any_number_of_batch_axes():
    x = jnp.arange(24.0).reshape(2, 3, 4, 1)
    for batched in (x, x[0], x[0, 0]):
        np.testing.assert_array_equal(
            nnx.max_pool(batched, [2], [2]),
            x.reshape(2, 3, 2, 2, 1).max(3)[(0,) * (4 - batched.ndim)],
        )


def test_what_does_not_fit_is_named():
    x = jnp.ones((2, 4, 1))
    with pytest.raises(ValueError, match=r"over 2 axes takes .* it got \[4, 1\]"):
        nnx.max_pool(x[0], (2, 2))
    with pytest.raises(ValueError, match=r"a stride for each axis .* it got \(1, 1\)"):
        nnx.max_pool(x, (2,), (1, 1))
    with pytest.raises(ValueError, match="unknown padding 'FULL'"):
        nnx.avg_pool(x, (2,), padding="FULL")
    with pytest.raises(ValueError, match=r"\(low, high\) for each axis"):
        nnx.pool(x, 0.0, lax.add, (2,), None, ((1, 1), (0, 0)))
