"""Sampling against NumPy's formulas, and the frequencies of what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.errors import InputError
from nnxtrain.generation.sampling import Sampling, filtered, sample

LOGITS = np.random.default_rng(0).normal(0, 2, (4, 12)).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Token by token, as the words say it."""
    result = np.zeros_like(logits, np.float64)
    for row, out in zip(softmax(logits / temperature), result):
        order = np.argsort(-row)[:top_k]
        kept, mass = [], 0.0
        for token in order:
            if top_p is not None and mass >= top_p * row[order].sum():
                break
            kept.append(token)
            mass += row[token]
        out[kept] = row[kept] / mass
    return result


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 3},
        {"top_k": 100},
        {"top_p": 0.7},
        {"top_p": 1.0},
        {"top_p": 1e-6},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.8},
    ],
    ids=str,
)
def test_probabilities_equal_numpys(options):
    probabilities = jax.nn.softmax(filtered(jnp.asarray(LOGITS), Sampling(**options)))
    np.testing.assert_allclose(probabilities, numpy_probabilities(LOGITS, **options), atol=1e-6)


def test_frequencies():
    n, options = 20_000, {"temperature": 0.7, "top_k": 6, "top_p": 0.9}
    keys = jax.random.split(jax.random.key(0), n)
    drawn = sample(keys, jnp.tile(LOGITS[:1], (n, 1)), Sampling(**options))
    expected = numpy_probabilities(LOGITS[:1], **options)[0]
    counts = np.bincount(drawn, minlength=12)
    assert counts[expected == 0].sum() == 0
    deviation = np.sqrt(n * expected * (1 - expected))
    assert (np.abs(counts - n * expected) <= 5 * deviation).all()


def test_temperature_zero_takes_the_largest_and_needs_no_luck():
    for seed in (0, 1):
        keys = jax.random.split(jax.random.key(seed), 4)
        drawn = sample(keys, jnp.asarray(LOGITS), Sampling(temperature=0, top_k=2, top_p=0.5))
        np.testing.assert_array_equal(drawn, LOGITS.argmax(-1))


def test_ties_stay_together():
    logits = jnp.array([[1.0, 2.0, 2.0, 0.0]])
    assert np.isfinite(filtered(logits, Sampling(top_k=1))).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p must be"),
    ],
)
def test_numbers_outside_their_range(options, message):
    with pytest.raises(InputError, match=message):
        Sampling(**options)
