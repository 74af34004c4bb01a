"""How the next token is drawn from a model's logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """Temperature first, then the ``top_k`` most probable tokens, then the nucleus ``top_p`` of what is left.

    Attributes:
      temperature: logits are divided by it; 0 always takes the most probable token (of equal ones the first).
      top_k: draw from so many tokens at most; None: from all.
      top_p: draw from the smallest set of most probable tokens that together have this probability (Holtzman et al. 2019,
        https://arxiv.org/abs/1904.09751); None: from all.

    Raises:
      InputError: a number outside its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise InputError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, got {self.top_p}")


def sample(keys: jax.Array, logits: jax.Array, sampling: Sampling) -> jax.Array:
    """Draw a token for each row, int32[B].

    Args:
      keys: a random key for each row, ``key[B]``; a row depends on its own alone.
      logits: float[B, V].

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> sample(keys, jnp.array([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]]), Sampling(temperature=0)).tolist()
    [1, 0]
    """
    if sampling.temperature == 0:
        return logits.argmax(-1).astype(jnp.int32)
    return jax.vmap(jax.random.categorical)(keys, filtered(logits, sampling)).astype(jnp.int32)


def filtered(logits: jax.Array, sampling: Sampling) -> jax.Array:
    """The logits that tokens are drawn with, float32[..., V]; -inf for those that cannot come. The temperature is not 0."""
    logits = logits.astype(jnp.float32) / sampling.temperature
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    return logits if sampling.top_p is None else keep_top_p(logits, sampling.top_p)


def keep_top_k(logits: jax.Array, k: int) -> jax.Array:
    """Set all but the ``k`` largest logits of float[..., V] to -inf; those equal to the last of them stay too.

    >>> keep_top_k(jnp.array([1.0, 3.0, 2.0]), 2).tolist()
    [-inf, 3.0, 2.0]
    """
    if k >= logits.shape[-1]:
        return logits
    least = jax.lax.top_k(logits, k)[0][..., -1:]
    return jnp.where(logits < least, -jnp.inf, logits)


def keep_top_p(logits: jax.Array, p: float) -> jax.Array:
    """Set the logits of float[..., V] outside the nucleus to -inf: a token stays while those before it, the more probable
    ones, have together less than ``p``. The most probable token always stays, and so do those equal to the last one.

    >>> keep_top_p(jnp.log(jnp.array([0.5, 0.1, 0.4])), 0.6).round(2).tolist()[1]
    -inf
    """
    ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
    probabilities = jax.nn.softmax(ordered)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    least = jnp.where(before < p, ordered, jnp.inf).min(-1, keepdims=True)
    return jnp.where(logits < least, -jnp.inf, logits)
