"""Dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def test_dropout_keeps_the_mean_and_drops_the_rate():
    layer = nnx.Dropout(0.25, rngs=nnx.Rngs(0))
    y = np.asarray(layer(jnp.ones(20_000)))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    layer.eval()
    assert layer(jnp.ones(3)).tolist() == [1.0] * 3


def test_axes_may_share_one_decision():
    y = np.asarray(nnx.Dropout(0.5, broadcast_dims=(0, -1), rngs=nnx.Rngs(0))(jnp.ones((9, 8, 7))))
    assert (y == y[:1, :, :1]).all()
    assert 0 < (y == 0).mean() < 1


def test_the_edges():
    x = jnp.ones(3)
    assert nnx.Dropout(0.0)(x) is x
    drop_all = nnx.Dropout(1.0, rngs=nnx.Rngs(0))
    assert drop_all(x).tolist() == [0.0] * 3
    assert jax.grad(lambda x: drop_all(x).sum())(x).tolist() == [0.0] * 3  # and no NaN
    assert nnx.Dropout(0.5, rngs=nnx.Rngs(0))(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16


def test_where_the_randomness_comes_from():
    x = jnp.ones(64)
    key = jax.random.key(3)
    by_key = nnx.Dropout(0.5)(x, rngs=key)
    assert (
        nnx.Dropout(0.5, rngs=nnx.Rngs(1))(x, rngs=key) == by_key
    ).all()  # the call's comes first
    by_stream = nnx.Dropout(0.5)(x, rngs=nnx.Rngs(noise=3).noise)
    assert (nnx.Dropout(0.5, rng_collection="noise")(x, rngs=nnx.Rngs(noise=3)) == by_stream).all()
    layer = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    assert (layer(x) != layer(x)).any()


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="no random stream"):
        nnx.Dropout(0.5)(jnp.ones(3))
    with pytest.raises(ValueError, match="probability"):
        nnx.Dropout(1.5)
    with pytest.raises(TypeError, match=r"nnx\.Rngs or one of its streams; it got 3"):
        nnx.Dropout(0.5, rngs=3)
    with pytest.raises(ValueError, match="does not know whether to drop"):
        nnx.Dropout(0.5, deterministic=None, rngs=nnx.Rngs(0))(jnp.ones(3))


def test_one_seed_drops_what_flax_drops():
    flax = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    x = jnp.ones((4, 8))
    ours, theirs = (lib.Dropout(0.5, rngs=lib.Rngs(0)) for lib in (nnx, flax))
    for _ in range(2):
        np.testing.assert_array_equal(ours(x), theirs(x))
