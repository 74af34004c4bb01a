"""Multi-head attention, with a cache for autoregressive decoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx import trace
from nnxtrain.nnx.layers import kv_cache
from nnxtrain.nnx.layers.dot_product import dot_product_attention
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.layer_norm import LayerNorm
from nnxtrain.nnx.layers.linear import NO_METADATA, default_bias_init, default_kernel_init
from nnxtrain.nnx.layers.linear_general import LinearGeneral
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs, RngStream
from nnxtrain.nnx.variable.variable import Cache

Initializer = Callable[..., Any]


class MultiHeadAttention(Module):
    """Project to queries, keys and values, attend in each head, and project the heads' results together.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.

    Args:
      num_heads: must divide ``qkv_features``.
      in_features: size of the last axis of ``inputs_q``.
      qkv_features: size of queries, keys and values, all heads together (default ``in_features``).
      out_features: size of the output's last axis (default ``in_features``).
      num_kv_heads: heads of keys and values, a divisor of ``num_heads`` (default ``num_heads``); with fewer of them,
        neighbouring query heads share one (grouped-query attention, https://arxiv.org/abs/2305.13245).
      in_kv_features: size of the last axis of ``inputs_k`` and ``inputs_v`` (default ``in_features``).
      dtype: what to compute in (default: what input and parameters promote to).
      param_dtype: what the parameters are stored in.
      broadcast_dropout: drop the same attention weights in all batch elements and heads.
      dropout_rate: the probability that an attention weight is set to zero.
      deterministic: no dropout (set by ``model.train()`` and ``model.eval()``). It must be known, here or in the call,
        if there is a dropout rate.
      precision: of the products, as in ``jax.lax.dot_general``.
      kernel_init, bias_init: initialisers of the projections.
      out_kernel_init, out_bias_init: those of the last projection (default: the same).
      use_bias: whether the projections have biases.
      attention_fn: called as :func:`dot_product_attention`.
      position_fn: given queries or keys, [*batch, length, heads, head_dim], and their positions, int32[length], it returns
        them with the positions worked in (rotary embeddings); None: nothing is done. Keys are cached thereafter.
      decode: see below (default False).
      normalize_qk: normalise queries and keys in each head (Dehghani et al. 2023, https://arxiv.org/abs/2302.05442).
      qkv_promote_dtype, out_promote_dtype, ln_promote_dtype: cast to the computing dtype in the projections to queries,
        keys and values, in the last one, and in the normalisation.
      qkv_dot_general, out_dot_general, qkv_dot_general_cls, out_dot_general_cls: as in :class:`LinearGeneral`.
      rngs: random streams; ``params`` is used, and of ``dropout`` the layer keeps a fork.
      keep_rngs: False: keep none; calls with dropout must then be given ``rngs``.
      kernel_metadata, bias_metadata, out_kernel_metadata, out_bias_metadata: metadata of the projections' Params (those of
        the last one default to the others).
      query_ln_scale_metadata, key_ln_scale_metadata: metadata of the normalisations' scales.

    ``query.kernel`` is [in_features, num_heads, head_dim], ``key.kernel`` and ``value.kernel`` are
    [in_kv_features, num_kv_heads, head_dim], ``out.kernel`` is [num_heads, head_dim, out_features]; each has a ``bias``.

    **Decoding.** With ``decode=True`` the layer remembers keys and values, and a call is given only the positions that are
    new: one, or several (a prompt). Each sees itself and everything before it, whatever ``is_causal`` says, so the outputs
    are those of one causal call over the whole sequence. ``init_cache`` makes room, and empties it.

    >>> from nnxtrain import nnx
    >>> layer = nnx.MultiHeadAttention(num_heads=2, in_features=4, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((3, 5, 4))
    >>> layer(x, is_causal=True).shape
    (3, 5, 4)
    >>> layer.init_cache(x.shape)
    >>> layer(x[:, :4], decode=True).shape, layer(x[:, 4:], decode=True).shape
    ((3, 4, 4), (3, 1, 4))
    """

    def __init__(
        self,
        num_heads: int,
        in_features: int,
        qkv_features: int | None = None,
        out_features: int | None = None,
        num_kv_heads: int | None = None,
        in_kv_features: int | None = None,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        broadcast_dropout: bool = True,
        dropout_rate: float = 0.0,
        deterministic: bool | None = None,
        precision: Any = None,
        kernel_init: Initializer = default_kernel_init,
        out_kernel_init: Initializer | None = None,
        bias_init: Initializer = default_bias_init,
        out_bias_init: Initializer | None = None,
        use_bias: bool = True,
        attention_fn: Callable[..., jax.Array] = dot_product_attention,
        position_fn: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
        decode: bool | None = None,
        normalize_qk: bool = False,
        qkv_promote_dtype: Callable[..., Any] = promote_dtype,
        out_promote_dtype: Callable[..., Any] = promote_dtype,
        ln_promote_dtype: Callable[..., Any] = promote_dtype,
        qkv_dot_general: Callable[..., Any] | None = None,
        out_dot_general: Callable[..., Any] | None = None,
        qkv_dot_general_cls: Any = None,
        out_dot_general_cls: Any = None,
        rngs: Rngs,
        keep_rngs: bool = True,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        out_kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        out_bias_metadata: Mapping[str, Any] = NO_METADATA,
        query_ln_scale_metadata: Mapping[str, Any] = NO_METADATA,
        key_ln_scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        self.num_heads = num_heads
        self.in_features = in_features
        self.qkv_features = in_features if qkv_features is None else qkv_features
        self.out_features = in_features if out_features is None else out_features
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.in_kv_features = in_features if in_kv_features is None else in_kv_features
        for name, number, divisor_name, divisor in (
            ("qkv_features", self.qkv_features, "num_heads", num_heads),
            ("num_heads", num_heads, "num_kv_heads", self.num_kv_heads),
        ):
            if divisor < 1 or number % divisor:
                raise ValueError(
                    f"MultiHeadAttention: {divisor_name} must divide {name}; "
                    f"it got {name}={number}, {divisor_name}={divisor}"
                )
        if not 0.0 <= dropout_rate <= 1.0:
            raise ValueError(
                f"MultiHeadAttention.dropout_rate is a probability, 0 to 1; it got {dropout_rate}"
            )
        self.head_dim = self.qkv_features // num_heads
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.broadcast_dropout = broadcast_dropout
        self.dropout_rate = dropout_rate
        self.deterministic = deterministic
        self.precision = precision
        self.use_bias = use_bias
        self.attention_fn = attention_fn
        self.position_fn = position_fn
        self.decode = decode
        self.normalize_qk = normalize_qk

        common: dict[str, Any] = {
            "use_bias": use_bias, "dtype": dtype, "param_dtype": param_dtype, "precision": precision, "rngs": rngs,
        }  # fmt: skip
        project: Callable[..., LinearGeneral] = partial(
            LinearGeneral,
            **common,
            kernel_init=kernel_init,
            bias_init=bias_init,
            promote_dtype=qkv_promote_dtype,
            dot_general=qkv_dot_general,
            dot_general_cls=qkv_dot_general_cls,
            kernel_metadata=kernel_metadata,
            bias_metadata=bias_metadata,
        )
        self.query = project(in_features, (num_heads, self.head_dim))
        self.key = project(self.in_kv_features, (self.num_kv_heads, self.head_dim))
        self.value = project(self.in_kv_features, (self.num_kv_heads, self.head_dim))
        normalise = partial(
            LayerNorm,
            self.head_dim,
            use_bias=False,
            dtype=dtype,
            param_dtype=param_dtype,
            promote_dtype=ln_promote_dtype,
            rngs=rngs,
        )
        self.query_ln = normalise(scale_metadata=query_ln_scale_metadata) if normalize_qk else None
        self.key_ln = normalise(scale_metadata=key_ln_scale_metadata) if normalize_qk else None
        self.out = LinearGeneral(
            (num_heads, self.head_dim),
            self.out_features,
            axis=(-2, -1),
            **common,
            kernel_init=out_kernel_init or kernel_init,
            bias_init=out_bias_init or bias_init,
            promote_dtype=out_promote_dtype,
            dot_general=out_dot_general,
            dot_general_cls=out_dot_general_cls,
            kernel_metadata=out_kernel_metadata or kernel_metadata,
            bias_metadata=out_bias_metadata or bias_metadata,
        )
        self.rngs = rngs.dropout.fork() if keep_rngs and dropout_rate > 0 else None
        self.cached_key: Cache | None = None
        self.cached_value: Cache | None = None
        self.cache_index: Cache | None = None

    def __call__(
        self,
        inputs_q: jax.Array,
        inputs_k: jax.Array | None = None,
        inputs_v: jax.Array | None = None,
        *,
        mask: jax.Array | None = None,
        deterministic: bool | None = None,
        rngs: Rngs | RngStream | jax.Array | None = None,
        sow_weights: bool = False,
        decode: bool | None = None,
        is_causal: bool = False,
        out_sharding: Any = None,
        qkv_sharding: Any = None,
    ) -> jax.Array:
        """Attend from ``inputs_q`` to ``inputs_k`` and ``inputs_v``.

        Args:
          inputs_q: float[*batch, q_length, in_features].
          inputs_k: float[*batch, kv_length, in_kv_features] (default ``inputs_q``).
          inputs_v: the same (default ``inputs_k``).
          mask: where it is 0, a query does not see a key; it broadcasts to [*batch, num_heads, q_length, kv_length]. When
            decoding, ``kv_length`` is the cache's length; a mask over the new positions alone, or one for all positions
            of the sequence as queries, is understood too.
          deterministic, decode: in place of the layer's own.
          rngs: random streams or a key for the dropout, in place of the layer's own.
          sow_weights: keep the attention weights as the ``nnx.Intermediate`` "attention_weights".
          is_causal: position i sees the positions 0 to i.
          out_sharding, qkv_sharding: of the results of the last projection and of the others, as in
            ``jax.lax.dot_general``.

        Returns:
          float[*batch, q_length, out_features]. In a compiled function, where no error can be raised, decoding into a full
          cache gives NaN.

        Raises:
          ValueError: shapes that do not fit, dropout without a random stream, a cache that is missing or full.
        """
        if inputs_k is None and inputs_v is not None:
            raise ValueError("MultiHeadAttention was given inputs_v without inputs_k")
        inputs_k = inputs_q if inputs_k is None else inputs_k
        inputs_v = inputs_k if inputs_v is None else inputs_v
        for name, inputs, features in (
            ("inputs_q", inputs_q, self.in_features),
            ("inputs_k", inputs_k, self.in_kv_features),
            ("inputs_v", inputs_v, self.in_kv_features),
        ):
            if inputs.ndim < 2 or inputs.shape[-1] != features:
                raise ValueError(
                    f"MultiHeadAttention takes {name} [*batch, length, {features}]; it got {list(inputs.shape)}"
                )

        query = self.query(inputs_q, out_sharding=qkv_sharding)
        key = self.key(inputs_k, out_sharding=qkv_sharding)
        value = self.value(inputs_v, out_sharding=qkv_sharding)
        if self.query_ln is not None and self.key_ln is not None:
            query, key = self.query_ln(query), self.key_ln(key)
        decode = bool(self.decode if decode is None else decode)
        if self.position_fn is not None:
            start = 0 if not decode or self.cache_index is None else self.cache_index.value
            query = self.position_fn(query, start + jnp.arange(query.shape[-3]))
            key = self.position_fn(key, start + jnp.arange(key.shape[-3]))
        full: Any = False
        if decode:
            key, value, mask, full = self._remember(query, key, value, mask)
            is_causal = False  # the mask is causal already, and knows where the queries stand
        dropout_rng, deterministic = self._dropout(rngs, deterministic)
        x = self.attention_fn(
            query,
            key,
            value,
            mask=mask,
            dropout_rng=dropout_rng,
            dropout_rate=self.dropout_rate,
            broadcast_dropout=self.broadcast_dropout,
            deterministic=deterministic,
            dtype=self.dtype,
            precision=self.precision,
            module=self if sow_weights else None,
            is_causal=is_causal,
        )
        if full is not False:
            x = jnp.where(full, jnp.nan, x)
        return self.out(x, out_sharding=out_sharding)

    def _dropout(self, rngs: Any, deterministic: bool | None) -> tuple[jax.Array | None, bool]:
        """The key of a call's dropout, and whether there is none."""
        if self.dropout_rate == 0.0:
            return None, True
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic is None:
            raise ValueError(
                "MultiHeadAttention has a dropout_rate, and does not know whether it is training: call model.train() or "
                "model.eval(), or give it deterministic=..."
            )
        if deterministic:
            return None, True
        source = self.rngs if rngs is None else rngs
        if isinstance(source, Rngs):
            source = source.dropout
        if source is None:
            raise ValueError(
                "MultiHeadAttention has no random stream for its dropout: make it with keep_rngs=True, pass rngs to the "
                "call, or call model.eval()"
            )
        return source() if isinstance(source, RngStream) else source, False

    def _remember(
        self, query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array, Any]:
        """Put new keys and values into the cache; return all of them, what the queries see, and "is it too full?"."""
        if self.cached_key is None or self.cached_value is None or self.cache_index is None:
            raise ValueError(
                "MultiHeadAttention has no cache to decode with: call init_cache([*batch, max_length, features]) first"
            )
        *batch, max_length, heads, depth = self.cached_key.shape
        length = key.shape[-3]
        if key.shape != (*batch, length, heads, depth) or query.shape[-3] != length:
            raise ValueError(
                f"MultiHeadAttention decodes [{', '.join(map(str, [*batch, 'length']))}, features] with the cache it has, "
                f"queries and keys of one length; it got queries {list(query.shape[:-2])} and keys {list(key.shape[:-2])}. "
                "Call init_cache for another batch size."
            )
        index = self.cache_index.value
        full: Any = index + length > max_length
        if not isinstance(full, jax.core.Tracer):
            if full:
                raise ValueError(
                    f"MultiHeadAttention's cache is full: {trace.name_of(self.cached_key, None)} holds {int(index)} of "
                    f"{max_length} positions, and {length} more came. Call init_cache to empty it, or with a greater length."
                )
            full = False
        mask = kv_cache.decoding_mask(mask, index, length, max_length)
        self.cached_key.value = kv_cache.append(self.cached_key.value, key, index)
        self.cached_value.value = kv_cache.append(self.cached_value.value, value, index)
        self.cache_index.value = index + length
        return self.cached_key.value, self.cached_value.value, mask, full

    def init_cache(self, input_shape: tuple[int, ...], dtype: Any = jnp.float32) -> None:
        """Make an empty cache: ``cached_key``, ``cached_value`` and ``cache_index``, which are ``nnx.Cache`` Variables.

        Args:
          input_shape: (*batch, max_length, features) of the whole sequence that will be decoded.
          dtype: of the cached keys and values.
        """
        if len(input_shape) < 2:
            raise ValueError(
                f"MultiHeadAttention.init_cache takes (*batch, max_length, features); it got {tuple(input_shape)}"
            )
        shape = (*input_shape[:-1], self.num_kv_heads, self.head_dim)
        self.cached_key = Cache(jnp.zeros(shape, dtype))
        self.cached_value = Cache(jnp.zeros(shape, dtype))
        self.cache_index = Cache(jnp.array(0, jnp.int32))

    def set_view(
        self,
        deterministic: bool | None = None,
        decode: bool | None = None,
        batch_size: int | tuple[int, ...] | None = None,
        max_length: int | None = None,
    ) -> None:
        """Set what is given; with ``batch_size`` and ``max_length``, make an empty cache of the layer's dtype.

        Raises:
          TypeError: only one of ``batch_size`` and ``max_length`` is given.
        """
        if deterministic is not None:
            self.deterministic = deterministic
        if decode is not None:
            self.decode = decode
        if batch_size is None and max_length is None:
            return
        if batch_size is None or max_length is None:
            raise TypeError(
                "MultiHeadAttention makes a cache from batch_size and max_length; one of them is missing"
            )
        batch = (batch_size,) if isinstance(batch_size, int) else tuple(batch_size)
        self.init_cache((*batch, max_length, self.in_features), self.dtype or jnp.float32)
