"""Masks for attention: who may look at what. Nonzero means "may"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def make_attention_mask(
    query_input: jax.Array,
    key_input: jax.Array,
    pairwise_fn: Callable[..., Any] = jnp.multiply,
    extra_batch_dims: int = 0,
    dtype: Any = jnp.float32,
) -> jax.Array:
    """Compare each query position with each key position.

    Args:
      query_input, key_input: [*batch, q_length] and [*batch, kv_length], one number for each position (1 for a token
        and 0 for padding, or its index).
      pairwise_fn: elementwise function of the two.
      extra_batch_dims: axes of size 1 to put in front.
      dtype: of the mask.

    Returns:
      dtype[*batch, 1, q_length, kv_length], the same for all heads.

    >>> tokens = jnp.array([1, 1, 0])
    >>> make_attention_mask(tokens, tokens, dtype=jnp.int32).tolist()
    [[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]
    """
    mask = pairwise_fn(query_input[..., :, None], key_input[..., None, :])
    mask = jnp.expand_dims(mask, -3)
    return jnp.expand_dims(mask, tuple(range(extra_batch_dims))).astype(dtype)


def make_causal_mask(
    x: jax.Array, extra_batch_dims: int = 0, dtype: Any = jnp.float32
) -> jax.Array:
    """The mask by which each position sees itself and what came before.

    Args:
      x: [*batch, length]; only its shape is looked at.
      extra_batch_dims: axes of size 1 to put in front.
      dtype: of the mask.

    Returns:
      dtype[*batch, 1, length, length].

    >>> make_causal_mask(jnp.zeros(3), dtype=jnp.int32).tolist()
    [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    """
    positions = jnp.broadcast_to(jnp.arange(x.shape[-1]), x.shape)
    return make_attention_mask(positions, positions, jnp.greater_equal, extra_batch_dims, dtype)


def combine_masks(*masks: jax.Array | None, dtype: Any = jnp.float32) -> jax.Array | None:
    """The mask that lets through what all of them let through; None where all of them are None.

    Raises:
      ValueError: the masks have different numbers of axes.

    >>> combine_masks(jnp.array([1, 1, 0]), None, jnp.array([1, 0, 1]), dtype=jnp.int32).tolist()
    [1, 0, 0]
    """
    given = [m for m in masks if m is not None]
    if not given:
        return None
    if len({m.ndim for m in given}) > 1:
        shapes = ", ".join(str(list(m.shape)) for m in given)
        raise ValueError(f"combine_masks takes masks with the same number of axes; it got {shapes}")
    combined = given[0]
    for mask in given[1:]:
        combined = jnp.logical_and(combined, mask)
    return combined.astype(dtype)
