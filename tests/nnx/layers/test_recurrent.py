"""Recurrent layers: state, random streams and lengths over time, and what goes wrong. (Numbers: test_parity.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx

RNG = np.random.default_rng(0)
CELLS = [nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell]


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


@nnx.jit(static_argnames=("reverse", "keep_order"))
def run(rnn, x, **kwargs):
    return rnn(x, **kwargs)


@nnx.jit
def step_by_step(rnn, x, carry):
    """[batch, time, features], in a Python loop: carries and outputs of each step."""
    carries, outputs = [], []
    for t in range(x.shape[1]):
        carry, y = rnn.cell(carry, x[:, t])
        carries.append(carry)
        outputs.append(y)
    return carries, jnp.stack(outputs, 1)


class Counted(nnx.RNNCellBase):
    """An accumulator that writes all that a cell may write: a statistic, random counts, sown values."""

    def __init__(self, rngs):
        self.steps = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, carry, inputs):
        self.steps.value += 1
        y = self.dropout(jnp.ones_like(inputs))
        self.sow(nnx.Intermediate, "seen", inputs)
        return carry + inputs, y

    def initialize_carry(self, input_shape, rngs=None, carry_init=None):
        return jnp.zeros(input_shape)

    @property
    def num_feature_axes(self):
        return 1


@pytest.mark.parametrize("make", [nnx.OptimizedLSTMCell, nnx.SimpleCell])
def test_lengths_choose_the_carry_and_reversal_begins_there(make):
    rnn = nnx.RNN(make(3, 4, rngs=nnx.Rngs(0)), return_carry=True)
    x, lengths = normal(3, 5, 3), jnp.array([5, 2, 0])
    start = jax.tree.map(lambda c: normal(*c.shape), rnn.cell.initialize_carry((3, 3)))
    carries, expected = step_by_step(rnn, x, start)
    carry, y = run(rnn, x, initial_carry=start, seq_lengths=lengths)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    for got, *steps in zip(*(jax.tree.leaves(c) for c in (carry, start, *carries))):
        np.testing.assert_allclose(got[0], steps[5][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got[1], steps[2][1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got[2], steps[0][2], rtol=1e-5, atol=1e-6)

    back, y = run(rnn, x, initial_carry=start, seq_lengths=lengths, reverse=True, keep_order=True)
    flipped = x.at[1, :2].set(x[1, 1::-1]).at[0].set(x[0, ::-1])
    forth, z = run(rnn, flipped, initial_carry=start, seq_lengths=lengths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), back, forth)
    np.testing.assert_allclose(y[0], z[0, ::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[1, :2], z[1, 1::-1], rtol=1e-5, atol=1e-6)


def test_what_a_cell_writes_is_carried_and_what_it_sows_is_stacked():
    rnn, x = nnx.RNN(Counted(nnx.Rngs(0)), return_carry=True), normal(2, 5, 3)
    carry, y = run(rnn, x)
    np.testing.assert_allclose(carry, x.sum(1), rtol=1e-5)
    assert int(rnn.cell.steps.value) == 5
    assert int(rnn.cell.dropout.rngs.count.value) == 5
    assert len({np.asarray(y[:, t]).tobytes() for t in range(5)}) > 1  # another mask in each step
    (seen,) = nnx.pop(rnn, nnx.Intermediate)["cell"]["seen"].value
    np.testing.assert_array_equal(seen, jnp.moveaxis(x, 1, 0))
    run(rnn, x)
    assert int(rnn.cell.steps.value) == 10


def test_broadcast_streams_give_one_mask_to_all_steps_of_a_call():
    rnn = nnx.RNN(Counted(nnx.Rngs(dropout=0)), broadcast_rngs="dropout")
    x = jnp.ones((4, 5, 8))
    outputs = []
    for _ in range(2):
        outputs.append(run(rnn, x))
        nnx.pop(rnn, nnx.Intermediate)
    first, second = outputs
    for y in outputs:
        assert (y == y[:, :1]).all()
        assert set(np.unique(y)) == {0, 2}
    assert not (first == second).all()
    assert int(rnn.cell.dropout.rngs.count.value) == 2


def test_state_axes_give_each_step_its_own_variables():
    class Scaled(Counted):
        def __init__(self):
            self.scale = nnx.Param(jnp.arange(1.0, 6.0))

        def __call__(self, carry, inputs):
            return carry, inputs * self.scale

    x = normal(2, 5, 3)
    rnn = nnx.RNN(Scaled(), state_axes={nnx.Param: 0, ...: nnx.Carry})
    np.testing.assert_allclose(rnn(x), x * jnp.arange(1.0, 6.0)[:, None], rtol=1e-6)


def test_initial_carries():
    x, ones = normal(2, 5, 3), nnx.initializers.ones
    cell = nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))
    c, h = cell.initialize_carry((2, 7, 3))
    assert c.shape == h.shape == (2, 7, 4)
    assert not c.any()
    c, h = cell.initialize_carry((2, 3), nnx.Rngs(0), nnx.initializers.normal())
    assert not np.allclose(c, h)
    with pytest.raises(ValueError, match=r"LSTMCell.initialize_carry needs a random stream"):
        cell.initialize_carry((2, 3), carry_init=ones)
    own = nnx.GRUCell(3, 4, carry_init=ones, keep_rngs=True, rngs=nnx.Rngs(0))
    assert own.initialize_carry((2, 3)).all()
    warm = nnx.GRUCell(3, 4, carry_init=nnx.initializers.normal(1.0), rngs=nnx.Rngs(0))
    rnn = nnx.RNN(warm)
    assert not np.allclose(rnn(x), rnn(x))  # each call draws a new carry
    once, again = (rnn(x, rngs=nnx.Rngs(carry=1)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    with pytest.raises(ValueError, match="needs a random stream"):
        nnx.RNN(warm, rngs=False)(x)
    zeros = nnx.RNN(cell)
    zeros(x)
    assert int(zeros.rngs.count.value) == 0  # so it works where nothing may be written
    assert jax.jit(lambda x: zeros(x))(x).shape == (2, 5, 4)


def test_bidirectional_merges_both_directions():
    rngs = nnx.Rngs(0)
    one, other = (nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs)) for _ in range(2))
    x, lengths = normal(2, 5, 3), jnp.array([5, 3])
    both = nnx.Bidirectional(one, other, merge_fn=jnp.subtract, return_carry=True)
    (ahead, back), y = both(x, seq_lengths=lengths)
    a, b = one(x), other(x, seq_lengths=lengths, reverse=True, keep_order=True)
    np.testing.assert_allclose(y, a - b, rtol=1e-6)
    np.testing.assert_allclose(ahead, jnp.stack([a[0, 4], a[1, 2]]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back, b[:, 0], rtol=1e-5, atol=1e-6)
    _, again = both(
        x.swapaxes(0, 1), time_major=True, seq_lengths=lengths, initial_carry=(ahead * 0, back * 0)
    )
    np.testing.assert_allclose(again.swapaxes(0, 1), y, rtol=1e-6)


@pytest.mark.parametrize("make", CELLS)
@pytest.mark.parametrize(("dtype", "param_dtype"), [("bfloat16", "float32"), (None, "bfloat16")])
def test_mixed_precision(make, dtype, param_dtype):
    x = normal(2, 5, 3)
    kwargs = {"dtype": dtype, "param_dtype": param_dtype, "rngs": nnx.Rngs(0)}
    rnn = nnx.RNN(make(3, 4, **kwargs), return_carry=True)
    carry, y = run(rnn, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, nnx.state(rnn, nnx.Param)))} == {
        jnp.dtype(param_dtype)
    }
    exact = nnx.RNN(make(3, 4, rngs=nnx.Rngs(0)))
    rounded = jax.tree.map(lambda v: v.astype(jnp.float32), nnx.state(rnn, nnx.Param))
    nnx.update(exact, rounded)
    np.testing.assert_allclose(y.astype(jnp.float32), run(exact, x), atol=0.05)


def test_a_gru_without_its_hidden_bias_is_flaxs():
    """Values of flax.nnx.GRUCell(1, 1) with these weights, by hand from its formula."""
    cell = nnx.GRUCell(1, 1, rngs=nnx.Rngs(0))
    flax = {
        "dense_i": {"kernel": jnp.array([[0.5, -1.0, 2.0]]), "bias": jnp.array([0.1, 0.2, 0.3])},
        "dense_h": {"kernel": jnp.array([[1.5, 0.7, -0.4]])},
    }
    nnx.update(cell, flax)
    x, h = 0.8, 0.6
    r = 1 / (1 + np.exp(-(0.5 * x + 0.1 + 1.5 * h)))
    z = 1 / (1 + np.exp(-(-1.0 * x + 0.2 + 0.7 * h)))
    n = np.tanh(2 * x + 0.3 + r * (-0.4 * h))
    _, y = cell(jnp.array([h]), jnp.array([x]))
    np.testing.assert_allclose(y, [(1 - z) * n + z * h], rtol=1e-6)
    cell.b_hn.value = jnp.array([0.9])
    n = np.tanh(2 * x + 0.3 + r * (-0.4 * h + 0.9))
    _, y = cell(jnp.array([h]), jnp.array([x]))
    np.testing.assert_allclose(y, [(1 - z) * n + z * h], rtol=1e-6)
    assert cell.b_hn.missing_is_zero


def test_a_gru_against_flax():
    flax = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    x = normal(2, 5, 3)
    ours, theirs = (lib.RNN(lib.GRUCell(3, 4, rngs=lib.Rngs(0))) for lib in (nnx, flax))
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda rnn: rnn(normal(3)), r"RNN takes \[\*batch, time, features\].* it got \[3\]"),
        (lambda rnn: rnn(normal(2, 5, 7)), r"GRUCell takes \[\*batch, 3\]; it got \[2, 7\]"),
        (
            lambda rnn: rnn(normal(2, 5, 3), seq_lengths=jnp.ones((2, 1), int)),
            r"RNN takes seq_lengths \[2\], .* it got \[2, 1\]",
        ),
    ],
)
def test_wrong_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act(nnx.RNN(nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))))


def test_wrong_random_streams_are_named():
    with pytest.raises(TypeError, match=r"RNN takes nnx.Rngs, a stream, True or False .* got 3"):
        nnx.RNN(nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), rngs=3)


# -- what every layer must survive ------------------------------------------------------------------------------------

LAYERS = {
    "attention": lambda rngs: nnx.MultiHeadAttention(
        2, 4, dropout_rate=0.1, deterministic=True, normalize_qk=True, rngs=rngs
    ),
    **{f"rnn of {make.__name__}": lambda rngs, make=make: nnx.RNN(make(4, 4, rngs=rngs)) for make in CELLS},
    "bidirectional": lambda rngs: nnx.Bidirectional(
        nnx.RNN(nnx.GRUCell(4, 2, rngs=rngs)), nnx.RNN(nnx.SimpleCell(4, 2, rngs=rngs)), rngs=rngs
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_goes_through_the_transforms(name):
    make, x = LAYERS[name], normal(2, 3, 4)
    abstract = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    layer = make(nnx.Rngs(0))
    assert nnx.graphdef(abstract) == nnx.graphdef(layer)
    assert all(isinstance(v, jax.ShapeDtypeStruct) for v in jax.tree.leaves(nnx.state(abstract)))
    y = nnx.jit(lambda layer, x: layer(x))(layer, x)
    graphdef, state = nnx.split(layer)
    merged = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x))(state, x)
    np.testing.assert_allclose(merged, y, rtol=1e-5, atol=1e-6)
    loss = nnx.grad(lambda layer, x: jnp.square(layer(x)).sum())
    grads = nnx.jit(loss)(layer, x)
    for path, grad in nnx.to_flat_state(grads):
        assert np.abs(grad.value).max() > 0 or path[-1] == "b_hn", path
