"""Causal attention on a CPU: a part of the queries at a time, with the keys alone that they may see."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

PARTS = 4  # 5/8 of the work of all keys for all queries; more parts save little more, and are more to compile
SHORTEST = 16  # queries in a part


def causal_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, precision: Any = None
) -> jax.Array:
    """What ``dot_product_attention(query, key, value, is_causal=True)`` returns, for queries and keys of one length.

    The softmax's sum comes with the product with the values, as one more feature that is 1, and its division after it, where
    there is less to divide.

    >>> q = k = v = jax.random.normal(jax.random.key(0), (2, 64, 4, 8))
    >>> same = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    >>> bool(jnp.abs(causal_attention(q, k, v) - same).max() < 1e-5)
    True
    """
    length, num_heads, depth = query.shape[-3:]
    num_kv_heads = key.shape[-2]
    wide = jnp.promote_types(query.dtype, jnp.float32)
    options: dict[str, Any] = {"precision": precision, "preferred_element_type": wide}
    # [*batch, kv_heads, group, length, depth] and [*batch, kv_heads, length, depth]: products of plain matrices.
    q = query.reshape(*query.shape[:-2], num_kv_heads, num_heads // num_kv_heads, depth)
    q = jnp.moveaxis(q * (1.0 / depth**0.5), -4, -2)
    k, v = jnp.moveaxis(key, -3, -2), jnp.moveaxis(value, -3, -2)
    v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], -1)  # its product is the weights' sum
    size = max(SHORTEST, -(-length // PARTS))
    parts = []
    for start in range(0, length, size):
        end = min(start + size, length)
        seen, shown = k[..., :end, :], v[..., :end, :]
        logits = jnp.einsum("...hgqd,...hkd->...hgqk", q[..., start:end, :], seen, **options)
        mask = jnp.tri(end - start, end, start, dtype=bool)
        logits = jnp.where(mask, logits, jnp.finfo(wide).min)
        weights = jnp.exp(logits - lax.stop_gradient(logits.max(-1, keepdims=True)))
        weights = weights.astype(query.dtype)
        parts.append(jnp.einsum("...hgqk,...hkd->...hgqd", weights, shown, **options))
    y = jnp.concatenate(parts, axis=-2)
    y = jnp.moveaxis(y[..., :-1] / y[..., -1:], -2, -4)
    return y.reshape(*query.shape[:-1], value.shape[-1]).astype(query.dtype)
