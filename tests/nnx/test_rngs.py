import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())


def test_no_key_comes_twice_from_an_rngs_its_streams_and_its_forks():
    rngs = nnx.Rngs(0, params=0, dropout=0, noise=1)
    keys = []
    for _ in range(3):
        keys += [rngs(), rngs.params(), rngs.dropout(), rngs.noise(), rngs.unnamed()]
        fork = rngs.fork()
        keys += [fork(), fork.params(), fork.dropout()]
        stream = rngs.dropout.fork()
        keys += [stream(), stream()]
    keys += list(rngs.split(4).params.key.value)
    assert len({data(k) for k in keys}) == len(keys)


def test_streams_are_those_of_flax():
    """The n-th key of a stream is its seed's key with n folded in."""
    rngs = nnx.Rngs(42)
    for n in range(3):
        assert data(rngs()) == data(jax.random.fold_in(jax.random.key(42), n))


def test_a_count_travels_out_of_jit_and_no_key():
    rngs = nnx.Rngs(0)
    draw = nnx.jit(lambda rngs: rngs.normal((2,)))
    first, second = draw(rngs), draw(rngs)
    assert rngs.default.count.value == 2
    assert not np.array_equal(first, second)
    again = nnx.Rngs(0)
    np.testing.assert_array_equal(draw(again), first)


def test_draws_are_those_of_jax_random():
    rngs = nnx.Rngs(0)
    expected = jax.random.uniform(
        jax.random.fold_in(jax.random.key(0), 0), (3,), minval=2.0, maxval=3.0
    )
    np.testing.assert_array_equal(rngs.uniform((3,), minval=2.0, maxval=3.0), expected)
    assert rngs.params.lecun_normal()((4, 4)).shape == (4, 4)
    scaled = rngs.variance_scaling(2.0, "fan_in", "normal")
    assert not np.array_equal(scaled((2, 2)), scaled((2, 2)))  # a fresh key each time
    assert rngs.permutation(5).shape == (5,)


def test_seeds_keys_and_streams_are_taken():
    key = jax.random.key(3)
    for given in (3, key, jax.random.key_data(key), nnx.Rngs(3).default, nnx.Variable(3)):
        assert data(nnx.Rngs(given)()) == data(nnx.Rngs(3)())
    with pytest.raises(TypeError, match="int seed or a"):
        nnx.Rngs("zero")


def test_a_missing_stream_is_named():
    with pytest.raises(AttributeError, match=r"no random stream 'dropout' \(there are: params\)"):
        nnx.Rngs(params=0).dropout()
    with pytest.raises(KeyError, match="no random stream"):
        nnx.Rngs(params=0)["dropout"]


def test_it_is_a_mapping_of_streams():
    rngs = nnx.Rngs(params=0, dropout=1)
    assert list(rngs) == ["params", "dropout"]
    assert "params" in rngs
    assert len(rngs) == 2
    assert rngs["params"] is rngs.params


def test_layers_keep_a_stream_of_their_own():
    rngs = nnx.Rngs(0)
    first, second = nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
    x = jnp.ones((100,))
    assert not np.array_equal(first(x), second(x))
    count = rngs.default.count.value
    first(x)
    assert rngs.default.count.value == count


def test_split_streams_are_mapped_over():
    rngs = nnx.Rngs(0, dropout=1).split(4)
    with pytest.raises(ValueError, match=r"'dropout' was split into \[4\]"):
        rngs.dropout()
    draws = jax.vmap(lambda rngs: rngs.dropout.normal(()))(rngs)
    assert len(set(draws.tolist())) == 4
