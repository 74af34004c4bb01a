import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.data.spec import Spec
from nnxtrain.tasks import SequenceClassification
from nnxtrain.training.gradients import gradients
from nnxtrain.training.session import Session

TOKENS = Spec((4,), "int32", 2, ("no", "yes"), vocab_size=9)
ROWS = Spec((4, 3), "float32", 2, ("no", "yes"), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
BATCH = {
    "input": jnp.array([[1, 2, 3, 4], [5, 6, 0, 0]], jnp.int32),
    "label": jnp.array([0, 1], jnp.int32),
    "length": jnp.array([4, 2], jnp.int32),
}


class MaskedSum(nnx.Module):
    def __call__(self, x, mask=None):
        total = jnp.where(mask, x, 0).sum(1)
        return jnp.stack([total, -total], -1)


def test_a_model_that_takes_a_mask_sees_what_counts():
    batch = BATCH | {"input": jnp.full((2, 4), 3, jnp.int32)}
    outputs = SequenceClassification(spec=TOKENS).outputs(MaskedSum(), batch)
    assert outputs["logits"].tolist() == [[12, -12], [6, -6]]


def test_a_model_that_takes_lengths_gets_them():
    class Lengths(nnx.Module):
        def __call__(self, x, *, lengths):
            return jnp.stack([lengths, lengths], -1)

    outputs = SequenceClassification(spec=TOKENS).outputs(Lengths(), BATCH)
    assert outputs["logits"].tolist() == [[4, 4], [2, 2]]
    assert outputs["labels"].tolist() == [0, 1]


def test_padding_does_not_reach_a_recurrent_network():
    class Last(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.rnn = nnx.RNN(nnx.SimpleCell(3, 2, rngs=rngs), rngs=rngs)

        def __call__(self, x, seq_lengths=None):
            carry, _ = self.rnn(x, seq_lengths=seq_lengths, return_carry=True)
            return carry

    rows = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    task, model = SequenceClassification(spec=ROWS), Last()
    noisy = rows.copy()
    noisy[1, 2:] = 50
    first, second = (
        task.outputs(model, BATCH | {"input": jnp.asarray(x)})["logits"] for x in (rows, noisy)
    )
    np.testing.assert_array_equal(first, second)
    alone = task.outputs(model, {"input": jnp.asarray(rows[1:, :2])})["logits"]
    np.testing.assert_allclose(second[1:], alone, rtol=1e-5)


def test_a_model_that_takes_neither_is_called_plainly():
    model = nnx.Sequential(lambda x: x[:, :2])
    for batch in (BATCH, {k: v for k, v in BATCH.items() if k != "length"}):
        outputs = SequenceClassification(spec=TOKENS).outputs(model, batch)
        assert outputs["logits"].tolist() == [[1, 2], [5, 6]]


@pytest.mark.parametrize("tokens", [True, False])
def test_what_is_padding_makes_no_difference_to_a_step(tmp_path, tokens):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 9, (60, 6)) if tokens else rng.normal(size=(60, 6, 3)).astype("float32")
    length = rng.integers(1, 7, 60)
    sessions = []
    for filler in (0, 7):
        padded = rows.copy()
        padded[np.arange(6) >= length[:, None]] = filler
        path = tmp_path / f"{filler}.npz"
        np.savez(path, input=padded, label=np.arange(60) % 2, length=length)
        given = ["data.vocab_size=9"] if tokens else ["task.mean=0", "task.std=1"]
        config = checked(["data=arrays", f"data.train={path}", "task=sequence_classification", "model=gru",
                          "model.hidden_features=4", "trainer.batch_size=16", *given])  # fmt: skip
        sessions.append(Session.open(config))
    task, model = sessions[0].task, sessions[0].build().model

    @nnx.jit
    def step(model, batch):
        return gradients(task, model, task.metrics(), batch, wrt=nnx.Param)

    batches = [session.splits.train.batch(np.arange(16)) for session in sessions]
    assert not np.array_equal(batches[0]["input"], batches[1]["input"])
    (loss, grads), (other_loss, other_grads) = (step(model, batch) for batch in batches)
    assert loss == other_loss > 0
    jax.tree.map(np.testing.assert_array_equal, grads, other_grads)
    assert max(np.abs(x).max() for x in jax.tree.leaves(grads)) > 0
