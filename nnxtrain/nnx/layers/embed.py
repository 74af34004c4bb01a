"""Embed: a table of vectors, looked up by integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.layers.arguments import make_param, value_of
from nnxtrain.nnx.layers.dot_general import dot_general
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.linear import NO_METADATA
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs

default_embed_init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


class Embed(Module):
    """Look up a vector for each integer.

    Args:
      num_embeddings: how many vectors there are.
      features: their size.
      dtype: of the output (default: that of the table).
      param_dtype: what the table is stored in.
      embedding_init: initialiser of the table.
      promote_dtype: casts ``(embedding,)``, or ``(query, embedding)`` in :meth:`attend`.
      rngs: random streams; ``params`` is used.
      embedding_metadata: metadata of the Param.

    ``embedding`` is [num_embeddings, features]; the call maps int[...] to float[..., features]. Negative integers count
    from the end; those out of range give NaN (a compiled program cannot raise). A table of one vector gives that vector
    for every integer.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.Embed(10, 4, rngs=nnx.Rngs(0))
    >>> layer(jnp.array([[1, 2, 3]])).shape, layer.attend(jnp.ones((2, 4))).shape
    ((1, 3, 4), (2, 10))
    """

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        embedding_init: Callable[..., Any] = default_embed_init,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
        embedding_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        shape = (num_embeddings, features)
        self.embedding = make_param(embedding_init, rngs, shape, param_dtype, embedding_metadata)
        self.num_embeddings = num_embeddings
        self.features = features
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.promote_dtype = promote_dtype

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        """Look up ``inputs`` (integers of any shape). Raises a ValueError on other dtypes."""
        if not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise ValueError(f"Embed takes integers; it got {inputs.dtype}{list(inputs.shape)}")
        (embedding,) = self.promote_dtype(
            (value_of(self.embedding),), dtype=self._dtype, inexact=False
        )
        if self.num_embeddings == 1:
            return jnp.broadcast_to(embedding, (*inputs.shape, self.features))
        take = partial(jnp.take, axis=0)
        if out_sharding is not None:
            take = jax.sharding.auto_axes(take, out_sharding=out_sharding)
        return take(embedding, inputs)

    def attend(self, query: jax.Array, out_sharding: Any = None) -> jax.Array:
        """Inner products of ``query`` float[..., features] with all vectors: float[..., num_embeddings].

        A language model that shares the table between its input and its logits ends with it.
        """
        if query.shape[-1:] != (self.features,):
            raise ValueError(
                f"Embed.attend takes [..., {self.features}]; it got {list(query.shape)}"
            )
        query, embedding = self.promote_dtype((query, value_of(self.embedding)), dtype=self._dtype)
        contract = (((query.ndim - 1,), (0,)), ((), ()))
        return dot_general(query, embedding.T, contract, out_sharding=out_sharding)

    @property
    def _dtype(self) -> Any:
        """The table's own, where none was given: that which it has now, as a model may be cast after it was made."""
        return self.embedding.dtype if self.dtype is None else self.dtype
