import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    for seed in (3, key, jax.random.key_data(key), nnx.Variable(3)):
        assert data(nnx.Rngs(seed)()) == data(nnx.Rngs(3)())
    with pytest.raises(TypeError, match="int seed or a"):
        nnx.Rngs("zero")
    streams = nnx.Rngs(3)
    assert data(nnx.Rngs(streams)()) == data(nnx.Rngs(3).fork()())
    assert data(nnx.Rngs(params=streams.default).params()) != data(streams())


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


def test_names_of_one_seed_differ_inside_jit_too():
    def draw(*seeds):
        rngs = nnx.Rngs(**dict(zip("abc", seeds)))
        return jax.random.key_data(jnp.stack([rngs.a(), rngs.b(), rngs.c()]))

    key = jax.random.key(0)
    inside = jax.jit(draw)(key, jax.random.key(0), jax.random.key(1))
    np.testing.assert_array_equal(inside, draw(key, key, jax.random.key(1)))
    np.testing.assert_array_equal(inside, jax.jit(lambda: draw(0, 0, 1))())
    assert len(np.unique(inside, axis=0)) == 3
    keys = jax.random.split(key, 2)
    split = nnx.Rngs(a=keys, b=keys)
    assert not (split.a.key.value == split.b.key.value).any()


def test_methods_have_the_signatures_of_jax_random():
    import inspect

    assert str(inspect.signature(nnx.Rngs(0).gamma)).startswith("(a: ")
    for name in ("bits", "permutation", "t", "multinomial", "he_uniform", "delta_orthogonal"):
        assert callable(getattr(nnx.Rngs(0).default, name))
    rngs = nnx.Rngs(normal=0)  # a stream may have the name of a function
    assert isinstance(rngs.normal, nnx.RngStream)


def test_broadcast_gives_the_same_numbers_to_all():
    rngs = nnx.Rngs(0, dropout=1).broadcast({"dropout": 3, ...: None})
    assert rngs.dropout.key.shape == (3,)
    assert rngs.default.key.shape == ()
    drawn = jax.vmap(lambda stream: stream.normal(()))(rngs.dropout)
    assert len(set(drawn.tolist())) == 1
    assert nnx.Rngs(0).broadcast((2, 3)).default.key.shape == (2, 3)


def test_split_takes_filters():
    rngs = nnx.Rngs(params=1, dropout=2, noise=3)
    split = rngs.split({"params": 5, "dropout": None, ...: (2, 5)})
    assert [split[n].key.shape for n in ("params", "dropout", "noise")] == [(5,), (), (2, 5)]
    assert data(split.dropout()) != data(rngs.dropout())


class Model(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 2, rngs=rngs)
        self.layers = [nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)]


def test_split_rngs_changes_the_streams_until_they_are_restored():
    model = Model(nnx.Rngs(params=0, dropout=1))
    first, second = (layer.rngs for layer in model.layers)
    key = data(first.key.value)
    with nnx.split_rngs(model, splits=3, only="dropout"):
        assert first.key.shape == second.key.shape == first.count.shape == (3,)
        with pytest.raises(ValueError, match="split into"):
            nnx.split_rngs(model, splits=2)
        assert second.key.shape == (3,)
    assert data(first.key.value) == key
    assert (first.count.value, second.count.value) == (1, 1)
    backups = nnx.split_rngs(model, splits=1, squeeze=True)
    assert len(list(backups)) == 2
    assert first.key.shape == ()
    nnx.restore_rngs(backups)
    assert data(first.key.value) == key
    with pytest.raises(ValueError, match="squeeze=True is for splits=1"):
        nnx.split_rngs(model, splits=2, squeeze=True)


def test_split_rngs_decorates_functions():
    rngs = nnx.Rngs(params=0, dropout=1)
    shapes = []

    @nnx.split_rngs(splits=4, only="params")
    def make(rngs, *, other):
        shapes.append((rngs.params.key.shape, rngs.dropout.key.shape, other["r"].params.key.shape))
        raise KeyError

    other = nnx.Rngs(params=7)
    with pytest.raises(KeyError):
        make(rngs, other={"r": other})
    assert shapes == [((4,), (), (4,))]
    assert rngs.params.key.shape == other.params.key.shape == ()


def test_copies_with_other_streams_leave_the_original_alone_but_for_its_count():
    model = Model(nnx.Rngs(0))
    stream = model.layers[0].rngs
    for copied, shape in (
        (nnx.split_rngs(model, splits=(2, 3), graph_updates=False), (2, 3)),
        (nnx.fork_rngs(model, graph_updates=False), ()),
        (nnx.fork_rngs(model, split={"default": 2}, graph_updates=False), (2,)),
        (nnx.with_rngs(model, split=5), (5,)),
        (nnx.with_rngs(model, broadcast={"default": 4}, fork=...), (4,)),
    ):
        assert copied.layers[0].rngs.key.shape == shape
        assert copied.linear.kernel is model.linear.kernel
        assert stream.key.shape == ()
    assert stream.count.value == 5
    assert nnx.with_rngs(model, fork="params").layers[0].rngs is not stream
    with pytest.raises(ValueError, match="split and fork both name the stream"):
        nnx.with_rngs(model, split={"default": 2}, fork="default")
    with pytest.raises(ValueError, match="returns a copy"):
        nnx.with_rngs(model, split=2, graph_updates=True)

    @nnx.with_rngs(split=2)
    def shape(model):
        return model.layers[1].rngs.key.shape

    assert shape(model) == (2,)


def test_forks_last_for_a_while():
    rngs = nnx.Rngs(0)
    with nnx.fork_rngs(rngs):
        inside = [data(rngs()) for _ in range(3)]
    outside = [data(rngs()) for _ in range(3)]
    assert not set(inside) & set(outside)
    assert rngs.default.count.value == 4


def test_reseed_follows_its_policy():
    model = Model(nnx.Rngs(dropout=1, params=0))
    first, second = (layer.rngs for layer in model.layers)
    nnx.reseed(model, dropout=42)
    assert data(first.key.value) == data(nnx.Rngs(42)())
    assert data(first.key.value) != data(second.key.value)
    nnx.split_rngs(model, splits=3)
    with pytest.raises(ValueError, match=r"layers\.0\.rngs is split into \[3\]"):
        nnx.reseed(model, dropout=1)
    nnx.reseed(model, dropout=1, policy="match_shape")
    assert first.key.shape == first.count.shape == (3,)
    nnx.reseed(model, dropout=1, policy=lambda path, key, shape: key)
    assert first.key.shape == ()
    with pytest.raises(ValueError, match="policy is"):
        nnx.reseed(model, dropout=1, policy="other")


draw_in_jit = nnx.jit(lambda rngs: (rngs(), rngs.dropout()))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), min_size=1, max_size=12))
def test_no_key_comes_twice_whatever_is_done(program):
    """Drawing, forking, splitting, broadcasting, jit, saving and resuming, in any order."""
    held = [nnx.Rngs(0, params=0, dropout=1)]
    keys = []
    for what, where in program:
        index = where % len(held)
        rngs = held[index]
        match what:
            case 0:
                keys += [rngs(), rngs.params(), rngs.dropout(), rngs.other()]
            case 1:
                keys += draw_in_jit(rngs)
            case 2:
                held.append(rngs.fork())
            case 3:  # each of the parts is used as a stream
                parts = rngs.split({"params": 2, ...: None})
                keys += [nnx.RngStream(key, tag="part")() for key in parts.params.key.value]
                keys.append(parts.dropout())
            case 4:
                keys.append(nnx.RngStream(rngs.broadcast(3).dropout.key.value[1], tag="part")())
            case 5:  # resume: the copy goes on in the place of the original
                held[index] = nnx.merge(*nnx.split(rngs))
            case 6:
                with nnx.fork_rngs(rngs):
                    keys += [rngs(), rngs.dropout()]
            case 7:
                with nnx.split_rngs(rngs, splits=2, only="dropout"):
                    keys += [nnx.RngStream(k, tag="part")() for k in rngs.dropout.key.value]
                    keys.append(rngs())
            case 8:
                held.append(nnx.Rngs(rngs.default, params=rngs.params, dropout=rngs.default))
    assert len({data(key) for key in keys}) == len(keys)
