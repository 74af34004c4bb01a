import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.models import RNNClassifier

LENGTHS = np.array([5, 2, 1], np.int32)


def build(input_shape=(5, 3), **options):
    options = {"hidden_features": 4, "rngs": nnx.Rngs(0), **options}
    return RNNClassifier(2, input_shape=input_shape, **options)


@pytest.fixture(scope="module")
def sequences():
    return np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)


run = nnx.jit(lambda model, x, **valid: model(x, **valid))


@pytest.mark.parametrize(
    ("cell", "bidirectional", "pool"),
    [("lstm", True, "last"), ("gru", False, "last"), ("simple", True, "mean")],
)
def test_padding_changes_nothing(cell, bidirectional, pool, sequences):
    """Each sequence cut to its length, by itself, gives what it gives in a padded batch."""
    model = build(cell=cell, bidirectional=bidirectional, pool=pool, num_layers=2)
    together = run(model, sequences, lengths=LENGTHS)
    mask = np.arange(5) < LENGTHS[:, None]
    other = np.where(mask[..., None], sequences, 99.0)
    np.testing.assert_allclose(run(model, other, mask=mask), together, atol=1e-6)
    alone = run(model, sequences[1:2, :2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_the_state_is_that_of_the_recurrence(sequences):
    model = build(cell="simple", bidirectional=True)
    directions = model.layers[0].forward_rnn.cell, model.layers[0].backward_rnn.cell
    states = []
    for cell, order in zip(directions, (sequences[0], sequences[0, ::-1])):
        h = np.zeros(4)
        for x in order:
            h = np.tanh(x @ cell.dense_i.kernel + cell.dense_i.bias + h @ cell.dense_h.kernel)
        states.append(h)
    expected = np.concatenate(states) @ model.head.kernel + model.head.bias.value
    np.testing.assert_allclose(run(model, sequences)[0], expected, atol=1e-5)


def test_images_are_read_row_by_row(sequences):
    model = build((5, 3, 1))
    same = build((5, 3))
    images = sequences[..., None]
    np.testing.assert_array_equal(run(model, images), run(same, sequences))
    assert build((28, 28, 3)).layers[0].cell.in_features == 28 * 3


def test_tokens_are_embedded():
    model = build((6,), vocab_size=11, embedding_features=7, num_layers=2)
    assert model.embed.embedding.shape == (11, 7)
    assert [layer.cell.in_features for layer in model.layers] == [7, 4]
    tokens = np.array([[1, 2, 3, 0, 0, 0], [1, 2, 3, 9, 9, 9]], np.int32)
    logits = run(model, tokens, lengths=np.array([3, 3], np.int32))
    assert (logits[0] == logits[1]).all()


def test_dropout_is_for_training(sequences):
    model = build(dropout_rate=0.5, num_layers=2)
    assert (run(model, sequences) != run(model, sequences)).any()
    model.eval()
    assert (run(model, sequences) == run(model, sequences)).all()


def test_bfloat16_computes_so_and_keeps_float32(sequences):
    model = build(dtype="bfloat16")
    assert nnx.eval_shape(model, sequences).dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model, nnx.Param))} == {np.dtype("float32")}


def test_rows_of_numbers_are_refused():
    with pytest.raises(
        ValueError, match=r"sequences \[length, features\].*these examples are \[4\]"
    ):
        build((4,))


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        build(num_layers=0)
