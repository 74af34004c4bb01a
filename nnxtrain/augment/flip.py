"""Mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from nnxtrain.augment.transform import ImageTransform


@dataclass(frozen=True, kw_only=True, eq=False)
class HorizontalFlip(ImageTransform):
    """Swap left and right.

    >>> import jax.numpy as jnp
    >>> from nnxtrain.data import Spec
    >>> flip = HorizontalFlip(probability=1.0, spec=Spec((1, 3, 1), "uint8"))
    >>> flip(jax.random.key(0), {"input": jnp.array([[[[1], [2], [3]]]], jnp.uint8)})["input"].ravel().tolist()
    [3, 2, 1]
    """

    probability: float = 0.5

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        return image[:, ::-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class VerticalFlip(ImageTransform):
    """Swap top and bottom."""

    probability: float = 0.5

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        return image[::-1]
