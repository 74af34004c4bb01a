"""Whose randomness is whose: a batch's key follows from (seed, step), a row's from the batch's key and its number."""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Of augmentation alone, so that no stream of a model with the same seed draws the same numbers.
_PURPOSE = 0xA06


def batch_key(seed: int, step: int | jax.Array) -> jax.Array:
    """The key for the batch of step ``step`` (counted from 0, int or traced int32); what ``augment`` is called with."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _PURPOSE), step)


def row_keys(key: jax.Array, size: int) -> jax.Array:
    """One key for each row of a batch, ``key[size]``; a row's does not depend on how many there are.

    >>> key = jax.random.key(0)
    >>> bool((row_keys(key, 3)[1] == row_keys(key, 2)[1]).all())
    True
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(size))
