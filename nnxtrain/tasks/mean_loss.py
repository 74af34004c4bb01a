"""The loss as a metric: what training minimises, over more than one batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain import nnx


class MeanLoss(nnx.metrics.Average):
    """``sum(weight * loss) / sum(weight)`` over all batches; without ``weight`` the plain mean.

    ``update(loss=, weight=, mask=)``: float[...] of one shape, and bool of its leading axes (False does not count). With
    ``argname`` it is the mean of something else that a task's outputs have.

    >>> mean = MeanLoss()
    >>> mean.update(loss=jnp.array([1.0, 3.0]), weight=jnp.array([3.0, 1.0]))
    >>> mean.update(loss=jnp.array([9.0, 9.0]), weight=jnp.full(2, 4.0), mask=jnp.array([True, False]))
    >>> float(mean.compute())
    5.25
    """

    def __init__(self, argname: str = "loss") -> None:
        super().__init__(argname)

    def update(self, *, weight: Any = None, mask: Any = None, **outputs: Any) -> None:
        if weight is not None and mask is not None:
            mask = weight * _to_rank(jnp.asarray(mask), weight.ndim)
        super().update(mask=weight if mask is None else mask, **outputs)


def _to_rank(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(mask.shape + (1,) * (ndim - mask.ndim))
