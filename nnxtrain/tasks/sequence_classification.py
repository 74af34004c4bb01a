"""Classification of sequences of different lengths: of tokens, or of rows of numbers."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.tasks.classification import Classification


class SequenceClassification(Classification):
    """Classification, one label a sequence, where the model is told how long each sequence is.

    A batch has ``input``, tokens int32[B, T] or float[B, T, features], ``label``, and perhaps ``length`` int32[B]: so many
    steps count, the rest is padding. A model whose ``__call__`` has a parameter ``lengths`` (or ``seq_lengths``, as
    ``nnx.RNN`` calls it) gets it then; one with a parameter ``mask`` gets bool[B, T], True where a step counts.
    """

    def call(self, model: Any, batch: dict[str, jax.Array]) -> jax.Array:
        x = self.inputs(batch)
        if "length" not in batch:
            return model(x)
        length = batch["length"]
        told = {
            "lengths": length,
            "seq_lengths": length,
            "mask": jnp.arange(x.shape[1]) < length[:, None],
        }
        taken = inspect.signature(model).parameters
        return model(x, **{name: value for name, value in told.items() if name in taken})
