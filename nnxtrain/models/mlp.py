"""A multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax

from nnxtrain import nnx


class MLP(nnx.Module):
    """Dense layers with ReLU and dropout over the flattened input.

    Args:
      num_classes: size of the output.
      input_shape: shape of one example.
      hidden: sizes of the hidden layers.
      dropout_rate: of the hidden activations, in [0, 1].
      dtype: what to compute in; parameters stay float32.
      rngs: random streams; ``params`` and ``dropout`` are used.

    The call maps float[B, *input_shape] to logits float[B, num_classes].
    """

    def __init__(
        self,
        num_classes: int,
        *,
        input_shape: Sequence[int],
        hidden: Sequence[int] = (256, 128),
        dropout_rate: float = 0.0,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        sizes = [math.prod(input_shape), *hidden, num_classes]
        self.linears = [
            nnx.Linear(i, o, dtype=dtype, rngs=rngs) for i, o in itertools.pairwise(sizes)
        ]
        self.dropout = nnx.Dropout(dropout_rate, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for linear in self.linears[:-1]:
            x = self.dropout(nnx.relu(linear(x)))
        return self.linears[-1](x)
