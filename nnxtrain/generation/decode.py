"""Continue sequences of tokens: the prompt in one call, then one compiled loop with a cache of keys and values."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain import nnx
from nnxtrain.generation.sampling import Sampling, sample


def continued(
    model: Any, prompt: np.ndarray, *, length: int, sampling: Sampling, num: int = 1, seed: int = 0
) -> np.ndarray:
    """Return ``num`` continuations of a prompt, int32[num, length].

    Args:
      model: a language model such as :class:`nnxtrain.models.TransformerLM`: ``max_length``, ``init_cache(batch_size,
        max_length)`` and ``model(tokens, decode=True)``. It is not changed.
      prompt: int32[P], at least one token. When prompt and continuation are longer than the model's ``max_length``, it goes
        on seeing their last ``max_length // 2`` tokens, and so on; of a longer prompt these count alone.
      length: how many tokens to add.
      seed: with it, a continuation's number and a token's place decide what is drawn; ``num`` and ``length`` do not.

    >>> from nnxtrain.models import TransformerLM
    >>> model = TransformerLM(5, max_length=8, num_layers=1, width=8, num_heads=2, rngs=nnx.Rngs(0))
    >>> continued(model, np.array([1, 2]), length=20, sampling=Sampling(top_k=3), num=2).shape
    (2, 20)
    """
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(num))
    tokens = np.tile(np.asarray(prompt, np.int32), (num, 1))
    start = tokens.shape[1]
    while (done := tokens.shape[1] - start) < length:
        seen = tokens
        if seen.shape[1] > model.max_length:
            seen = tokens[:, -max(model.max_length // 2, 1) :]
        # The last token drawn is not fed back, so one more fits than there are places left.
        count = min(length - done, model.max_length - seen.shape[1] + 1)
        new = decode(model, seen, keys, done, length=count, sampling=sampling)
        tokens = np.concatenate([tokens, np.asarray(new)], axis=1)
    return tokens[:, start:]


@partial(nnx.jit, static_argnames=("length", "sampling"))
def decode(
    model: Any,
    tokens: jax.Array,
    keys: jax.Array,
    first: jax.Array | int,
    *,
    length: int,
    sampling: Sampling,
) -> jax.Array:
    """Return the ``length`` tokens that follow ``tokens``, int32[B, length].

    Args:
      model: as in :func:`continued`; the cache is made and dropped here.
      tokens: int32[B, L], the same length in all rows; ``L + length - 1`` is at most the model's ``max_length``.
      keys: ``key[B]``; token i is drawn with ``fold_in(key, first + i)``.
    """
    model = nnx.clone(model, variables=False)
    model.eval()
    model.init_cache(tokens.shape[0], tokens.shape[1] + length - 1)

    def next_token(model: Any, tokens: jax.Array, place: jax.Array | int) -> jax.Array:
        logits = model(tokens, decode=True)[:, -1]
        return sample(jax.vmap(partial(jax.random.fold_in, data=place))(keys), logits, sampling)

    def step(token: jax.Array, place: jax.Array, model: Any) -> tuple[jax.Array, jax.Array]:
        token = next_token(model, token[:, None], place)
        return token, token

    token = next_token(model, tokens, first)
    cache = nnx.StateAxes({nnx.Cache: nnx.Carry, ...: None})
    loop = nnx.scan(step, in_axes=(nnx.Carry, 0, cache), out_axes=(nnx.Carry, 1))
    _, rest = loop(token, first + jnp.arange(1, length), model)
    return jnp.concatenate([token[:, None], rest], axis=1)
