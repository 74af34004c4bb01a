"""Classifiers of sequences by recurrent networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from nnxtrain import nnx

CELLS = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "simple": nnx.SimpleCell}


class RNNClassifier(nnx.Module):
    """Read a sequence step by step, and classify what is remembered of it.

    Args:
      num_classes: size of the output.
      input_shape: (length, features) of a sequence; (height, width, channels) of an image, read row by row; or (length,) of
        tokens.
      vocab_size: number of different tokens, where examples are tokens.
      cell: ``lstm`` (Hochreiter and Schmidhuber 1997), ``gru`` (Cho et al. 2014) or ``simple`` (Elman 1990).
      hidden_features: numbers that a layer remembers, in each direction.
      num_layers: layers, each reading the outputs of the one before.
      bidirectional: each layer reads the sequence from its end too.
      embedding_features: numbers that stand for a token; default ``hidden_features``.
      dropout_rate: of what each layer and the classifier read, but of numbers and pixels themselves, in [0, 1].
      pool: what the classifier reads: ``last``, the last layer's state after the last valid step (in each direction), or
        ``mean``, the mean of its outputs over the valid steps.
      dtype: what to compute in; parameters and states stay float32.
      rngs: random streams; ``params`` and ``dropout`` are used.

    The call maps float[B, L, F], images float[B, H, W, C] or tokens int32[B, L] to logits float[B, num_classes]. Which
    steps are valid is given by their number, ``lengths`` int32[B] (at least 1), or by ``mask`` bool[B, L], true for the
    first of them; default: all.

    >>> model = RNNClassifier(5, input_shape=(28, 28, 1), hidden_features=8, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((2, 28, 28, 1)), lengths=jnp.array([28, 3])).shape
    (2, 5)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        input_shape: Sequence[int],
        vocab_size: int | None = None,
        cell: Literal["lstm", "gru", "simple"] = "lstm",
        hidden_features: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        embedding_features: int | None = None,
        dropout_rate: float = 0.0,
        pool: Literal["last", "mean"] = "last",
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        if num_layers < 1:
            raise ValueError(f"RNNClassifier.num_layers must be at least 1, got {num_layers}")
        self.embed = None
        if vocab_size is not None:
            features = hidden_features if embedding_features is None else embedding_features
            self.embed = nnx.Embed(vocab_size, features, dtype=dtype, rngs=rngs)
        elif len(input_shape) < 2:
            raise ValueError(
                "RNNClassifier takes sequences [length, features], images or tokens; "
                f"these examples are {list(input_shape)}"
            )
        else:
            features = math.prod(input_shape[1:])
        self.cell = cell
        self.bidirectional = bidirectional
        self.pool = pool
        self.layers = []
        for _ in range(num_layers):
            directions = [
                nnx.RNN(CELLS[cell](features, hidden_features, dtype=dtype, rngs=rngs), rngs=False)
                for _ in range(2 if bidirectional else 1)
            ]
            layer = nnx.Bidirectional(*directions, rngs=False) if bidirectional else directions[0]
            self.layers.append(layer)
            features = hidden_features * len(directions)
        self.dropout = nnx.Dropout(dropout_rate, rngs=rngs)
        self.head = nnx.Linear(features, num_classes, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: jax.Array, *, lengths: jax.Array | None = None, mask: jax.Array | None = None
    ) -> jax.Array:
        if mask is not None:
            lengths = mask.sum(1)
        if self.embed is not None:
            x = self.dropout(self.embed(x))
        else:
            x = x.reshape(*x.shape[:2], -1)
        carry = None
        for index, layer in enumerate(self.layers):
            x = self.dropout(x) if index > 0 else x
            carry, x = layer(x, seq_lengths=lengths, return_carry=True)
        summary = self._state(carry) if self.pool == "last" else _mean(x, lengths)
        return self.head(self.dropout(summary))

    def _state(self, carry: Any) -> jax.Array:
        """The hidden state in a layer's carry, those of both directions side by side."""
        carries = carry if self.bidirectional else (carry,)
        hidden = [c[1] if self.cell == "lstm" else c for c in carries]
        return jnp.concatenate(hidden, axis=-1)


def _mean(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The mean of float[B, L, F] over the first ``lengths`` int[B] steps."""
    if lengths is None:
        return x.mean(1)
    valid = jnp.arange(x.shape[1]) < lengths[:, None]
    return jnp.where(valid[..., None], x, 0).sum(1) / lengths[:, None].astype(x.dtype)
