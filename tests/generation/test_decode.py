"""The compiled loop with its cache, against a call over the whole sequence for each token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.generation.decode import continued
from nnxtrain.generation.sampling import Sampling
from nnxtrain.models import TransformerLM

one_kind = pytest.mark.parametrize("model", ["rotary"], indirect=True)
PROMPT = np.array([3, 1, 4, 1])


@pytest.fixture(scope="module", params=["learned", "rotary"])
def model(request):
    sizes = {"max_length": 16, "num_layers": 2, "width": 16, "num_heads": 2, "init_std": 0.5}
    return TransformerLM(7, **sizes, positions=request.param, dropout_rate=0.5, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def logits_of(model):
    """The logits after the last of some tokens; one program for all lengths, as what follows does not matter."""
    view = nnx.clone(model, variables=False)
    view.eval()
    run = nnx.jit(lambda model, tokens: model(tokens))

    def last(tokens):
        padded = np.zeros((1, 16), np.int32)
        padded[0, : len(tokens)] = tokens
        return np.asarray(run(view, jnp.asarray(padded))[0, len(tokens) - 1])

    return last


def greedy(logits_of, prompt, length):
    """Without a cache; the last half of a full context is what is seen."""
    tokens, seen = list(prompt), list(prompt)
    for _ in range(length):
        if len(seen) > 16:
            seen = seen[-8:]
        tokens.append(int(logits_of(seen).argmax()))
        seen.append(tokens[-1])
    return tokens[len(prompt) :]


@pytest.mark.parametrize("length", [1, 13, 40])
def test_greedy_tokens_are_those_of_whole_calls(model, logits_of, length):
    made = continued(model, PROMPT, length=length, sampling=Sampling(temperature=0))
    assert made.shape == (1, length)
    assert made[0].tolist() == greedy(logits_of, PROMPT, length)


@one_kind
def test_a_prompt_longer_than_the_context_counts_with_its_end(model):
    long = np.random.default_rng(0).integers(0, 7, 30)
    options = {"length": 9, "sampling": Sampling(temperature=0)}
    made = continued(model, long, **options)
    np.testing.assert_array_equal(made, continued(model, long[-8:], **options))


@one_kind
def test_the_seed_a_rows_number_and_a_tokens_place_decide(model):
    options = {"sampling": Sampling(), "seed": 1}
    made = continued(model, PROMPT, length=10, num=3, **options)
    np.testing.assert_array_equal(continued(model, PROMPT, length=10, num=3, **options), made)
    np.testing.assert_array_equal(
        continued(model, PROMPT, length=4, num=2, **options), made[:2, :4]
    )
    assert len({tuple(row) for row in made.tolist()}) == 3
    other = continued(model, PROMPT, length=10, num=3, sampling=Sampling(), seed=2)
    assert (other != made).any()


@one_kind
def test_first_tokens_come_as_often_as_the_model_says(model, logits_of):
    n = 4000
    drawn = continued(model, PROMPT, length=1, num=n, sampling=Sampling())[:, 0]
    expected = np.asarray(jax.nn.softmax(logits_of(PROMPT)))
    deviation = np.sqrt(n * expected * (1 - expected))
    assert (np.abs(np.bincount(drawn, minlength=7) - n * expected) <= 5 * deviation).all()


@one_kind
def test_the_model_is_left_as_it_was(model):
    before = nnx.graphdef(model), jax.tree.leaves(nnx.state(model))
    continued(model, PROMPT, length=10, num=3, sampling=Sampling())
    assert nnx.graphdef(model) == before[0]
    assert all(a is b for a, b in zip(jax.tree.leaves(nnx.state(model)), before[1]))
