"""Linear regression."""

from __future__ import annotations

from typing import Any

import jax

from nnxtrain import nnx


class LinearRegression(nnx.Module):
    """``y = x @ kernel + bias``.

    Args:
      in_features: numbers of an example.
      num_targets: numbers to predict.
      dtype: what to compute in; parameters stay float32.
      rngs: random streams; ``params`` is used.

    The call maps float[B, in_features] to float[B, num_targets].

    >>> import jax.numpy as jnp
    >>> LinearRegression(3, 2, rngs=nnx.Rngs(0))(jnp.ones((4, 3))).shape
    (4, 2)
    """

    def __init__(
        self, in_features: int, num_targets: int = 1, *, dtype: Any = None, rngs: nnx.Rngs
    ):
        self.linear = nnx.Linear(in_features, num_targets, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear(x)
