"""Scaled dot-product attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.causal import causal_attention
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.variable.variable import Intermediate


def dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: jax.Array | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
    module: Module | None = None,
    promote_dtype: Callable[..., Any] = promote_dtype,
    is_causal: bool = False,
) -> jax.Array:
    """``softmax(query · key / sqrt(depth) + bias) · value``, for each head.

    With fewer key and value heads than query heads, neighbouring query heads share one (grouped-query attention,
    Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).

    Args:
      query: float[*batch, q_length, num_heads, depth].
      key: float[*batch, kv_length, num_kv_heads, depth]; ``num_kv_heads`` divides ``num_heads``.
      value: float[*batch, kv_length, num_kv_heads, v_depth].
      bias: added to the logits; broadcast to [*batch, num_heads, q_length, kv_length].
      mask: where it is 0, a query does not see a key; broadcast as ``bias``. A query that sees nothing attends to
        everything equally.
      broadcast_dropout: drop the same weights in all batch elements and heads.
      dropout_rng: a key of ``jax.random``.
      dropout_rate: the probability that a weight is set to zero.
      deterministic: no dropout.
      dtype: what to compute in (default: what the arguments promote to). Logits and softmax are at least float32.
      precision: of the two products, as in ``jax.lax.dot_general``.
      module: sows the weights, before dropout, as its ``nnx.Intermediate`` "attention_weights".
      promote_dtype: casts ``(query, key, value)`` to the computing dtype.
      is_causal: query i sees the keys 0 to i.

    Returns:
      dtype[*batch, q_length, num_heads, v_depth].

    Raises:
      ValueError: shapes that do not fit; dropout without a key.

    >>> q, kv = jnp.ones((2, 3, 4, 8)), jnp.ones((2, 5, 1, 8))
    >>> dot_product_attention(q, kv, kv).shape
    (2, 3, 4, 8)
    """
    query, key, value = promote_dtype((query, key, value), dtype=dtype)
    _check_shapes(query, key, value)
    drops = dropout_rate > 0.0 and not deterministic
    length = query.shape[-3]
    is_plain = bias is None and mask is None and not drops and module is None
    if is_causal and is_plain and isinstance(length, int) and length == key.shape[-3]:
        return _causal(query, key, value, precision)
    weights = attention_weights(query, key, bias, mask, is_causal=is_causal, precision=precision)
    if module is not None:
        module.sow(Intermediate, "attention_weights", weights)
    if drops:
        if dropout_rng is None:
            raise ValueError(
                "dot_product_attention has no key for its dropout: give it dropout_rng, or deterministic=True"
            )
        weights = _drop(weights, dropout_rate, dropout_rng, broadcast=broadcast_dropout)
    return _weighted_sum(weights, value, precision)


@partial(jax.jit, static_argnums=3)  # so that layers of one shape are traced once
def _causal(query: jax.Array, key: jax.Array, value: jax.Array, precision: Any) -> jax.Array:
    def whole(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        weights = attention_weights(query, key, is_causal=True, precision=precision)
        return _weighted_sum(weights, value, precision)

    on_cpu = partial(causal_attention, precision=precision)
    return lax.platform_dependent(query, key, value, cpu=on_cpu, default=whole)


def attention_weights(
    query: jax.Array,
    key: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    is_causal: bool = False,
    precision: Any = None,
) -> jax.Array:
    """The softmax of :func:`dot_product_attention`, [*batch, num_heads, q_length, kv_length], in the query's dtype."""
    dtype, depth = query.dtype, query.shape[-1]
    logits = _products(query, key, precision) * (1.0 / depth**0.5)
    if bias is not None:
        logits = logits + bias.astype(logits.dtype)
    if is_causal:
        causal = jnp.tri(logits.shape[-2], logits.shape[-1], dtype=bool)
        mask = causal if mask is None else jnp.logical_and(mask, causal)
    if mask is not None:
        # Not -inf: a row that sees nothing stays finite, and so does its gradient.
        logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
    return jax.nn.softmax(logits).astype(dtype)


def _products(query: jax.Array, key: jax.Array, precision: Any) -> jax.Array:
    accumulate = jnp.promote_types(query.dtype, jnp.float32)
    options: dict[str, Any] = {"precision": precision, "preferred_element_type": accumulate}
    num_heads, num_kv_heads = query.shape[-2], key.shape[-2]
    if num_heads == num_kv_heads:
        return jnp.einsum("...qhd,...khd->...hqk", query, key, **options)
    query = query.reshape(*query.shape[:-2], num_kv_heads, num_heads // num_kv_heads, -1)
    products = jnp.einsum("...qhgd,...khd->...hgqk", query, key, **options)
    return products.reshape(*products.shape[:-4], num_heads, *products.shape[-2:])


def _weighted_sum(weights: jax.Array, value: jax.Array, precision: Any) -> jax.Array:
    num_heads, num_kv_heads = weights.shape[-3], value.shape[-2]
    if num_heads == num_kv_heads:
        return jnp.einsum("...hqk,...khd->...qhd", weights, value, precision=precision)
    grouped = (*weights.shape[:-3], num_kv_heads, num_heads // num_kv_heads, *weights.shape[-2:])
    out = jnp.einsum(
        "...hgqk,...khd->...qhgd", weights.reshape(grouped), value, precision=precision
    )
    return out.reshape(*out.shape[:-3], num_heads, out.shape[-1])


def _drop(weights: jax.Array, rate: float, rng: jax.Array, *, broadcast: bool) -> jax.Array:
    keep = 1.0 - rate
    shape = (1,) * (weights.ndim - 2) + weights.shape[-2:] if broadcast else weights.shape
    kept = jax.random.bernoulli(rng, keep, shape).astype(weights.dtype)
    return weights * (kept / jnp.asarray(keep, weights.dtype))


def _check_shapes(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    given = f"query {list(query.shape)}, key {list(key.shape)}, value {list(value.shape)}"
    if query.ndim < 3 or not query.ndim == key.ndim == value.ndim:
        expected = "three arrays [*batch, length, heads, depth]"
    elif not query.shape[:-3] == key.shape[:-3] == value.shape[:-3]:
        expected = "the same batch axes in all three"
    elif query.shape[-1] != key.shape[-1]:
        expected = "the same depth (the last axis) in query and key"
    elif key.shape[-3:-1] != value.shape[-3:-1]:
        expected = "the same length and heads in key and value"
    elif query.shape[-2] % key.shape[-2]:
        expected = "a number of query heads that the number of key heads divides"
    else:
        return
    raise ValueError(f"dot_product_attention takes {expected}; it got {given}")
