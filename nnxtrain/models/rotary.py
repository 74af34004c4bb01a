"""Rotary position embeddings (Su et al. 2021, https://arxiv.org/abs/2104.09864)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def rotary(x: jax.Array, positions: jax.Array, base: float = 10_000.0) -> jax.Array:
    """Rotate the halves of each head's vector, as pairs, by angles that grow with the position.

    Pair i of depth d at position p turns by ``p * base ** (-2i / d)``, so that the product of a query and a key depends on
    how far apart they stand, and not on where. Element i is paired with element ``i + d / 2``, as in GPT-NeoX and LLaMA.

    Args:
      x: float[*batch, length, heads, d]; d is even.
      positions: int32[length].
      base: the slowest pairs turn once in about ``2π * base`` positions.

    Returns:
      the same shape and dtype; angles and products are float32 at least.

    >>> x = jnp.array([[[1.0, 0.0]], [[1.0, 0.0]]])  # two positions, one head of depth 2
    >>> [f"{value:.2f}" for value in rotary(x, jnp.arange(2))[1, 0].tolist()]
    ['0.54', '0.84']
    """
    depth = x.shape[-1]
    kind = jnp.promote_types(x.dtype, jnp.float32)
    frequencies = base ** (-jnp.arange(0, depth, 2, dtype=kind) / depth)
    angles = positions.astype(kind)[:, None, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x.astype(kind), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)
