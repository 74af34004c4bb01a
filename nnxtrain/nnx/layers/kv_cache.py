"""The keys and values of the positions that a decoder has seen, so that each step computes only its new ones.

The arrays have room for ``max_length`` positions, so that every step has the same shapes; ``index`` positions are filled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def append(cached: jax.Array, new: jax.Array, index: jax.Array) -> jax.Array:
    """Write ``new`` [*batch, length, heads, depth] into ``cached`` [*batch, max_length, heads, depth] from ``index`` on."""
    return lax.dynamic_update_slice_in_dim(cached, new.astype(cached.dtype), index, axis=-3)


def decoding_mask(
    mask: jax.Array | None, index: jax.Array, length: int, max_length: int
) -> jax.Array:
    """What ``length`` new positions see: those before them, themselves, and of these what ``mask`` lets through.

    Args:
      mask: [..., q, kv]. ``q`` is 1, ``length``, or ``max_length`` (of which the rows of the new positions are taken);
        ``kv`` is 1, ``max_length``, or ``length`` (which then means the new positions; all before them are seen).

    Returns:
      bool[..., length, max_length].

    Raises:
      ValueError: another shape of the mask.

    >>> decoding_mask(None, jnp.array(1), 2, 4).astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    causal = jnp.arange(max_length) <= index + jnp.arange(length)[:, None]
    if mask is None:
        return causal
    mask = jnp.atleast_2d(mask).astype(bool)
    rows, columns = mask.shape[-2:]
    if rows not in (1, length, max_length) or columns not in (1, length, max_length):
        raise ValueError(
            f"the mask of {length} decoded position(s) is [..., 1, {length} or {max_length}, 1, {length} or "
            f"{max_length}] for a cache of {max_length}; it got {list(mask.shape)}"
        )
    if rows not in (1, length):
        mask = lax.dynamic_slice_in_dim(mask, index, length, axis=-2)
    if columns not in (1, max_length):
        before = jnp.ones((*mask.shape[:-1], max_length), bool)
        mask = lax.dynamic_update_slice_in_dim(before, mask, index, axis=-1)
    return jnp.logical_and(mask, causal)
