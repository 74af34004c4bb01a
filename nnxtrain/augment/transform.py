"""What all transforms of single images have in common."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from nnxtrain.augment.keys import row_keys
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError

Batch = dict[str, jax.Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageTransform:
    """Changes each image of a batch by itself. A subclass gives :meth:`row`.

    Args:
      probability: the share of images that are changed; the others stay as they are.
      spec: the data set's.

    Images are uint8[H, W, C], or float32 on the 0..1 scale. What only moves pixels keeps the dtype; what computes new ones
    gives float32.

    Raises:
      InputError: an argument is out of its range, or the examples are no images.
    """

    probability: float = 1.0
    spec: Spec

    def __post_init__(self) -> None:
        self.require(0.0 <= self.probability <= 1.0, "probability", "between 0 and 1")
        if len(self.spec.input_shape) != 3 or self.spec.vocab_size is not None:
            raise InputError(
                f"augment: {type(self).__name__} needs images [height, width, channels], the data gives "
                f"{self.spec.unit} {list(self.spec.input_shape)}; use augment=none"
            )

    def require(self, holds: bool, name: str, wanted: str) -> None:
        """Raise an InputError unless an argument is as it must be."""
        if not holds:
            got = getattr(self, name)
            raise InputError(f"augment: {type(self).__name__}.{name} must be {wanted}, got {got}")

    def row(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return the changed image; it runs under ``jax.vmap``."""
        raise NotImplementedError

    def __call__(self, key: jax.Array, batch: Batch) -> Batch:
        """Return the batch with its ``input`` changed; row i's randomness is ``fold_in(key, i)``."""
        if self.probability == 0.0:
            return batch
        images = batch["input"]
        return {**batch, "input": jax.vmap(self._sometimes)(row_keys(key, len(images)), images)}

    def _sometimes(self, key: jax.Array, image: jax.Array) -> jax.Array:
        if self.probability == 1.0:
            return self.row(key, image)
        whether, how = jax.random.split(key)
        changed = self.row(how, image)
        if changed.dtype != image.dtype:
            image = unit_scale(image)
        return jnp.where(jax.random.uniform(whether) < self.probability, changed, image)


def unit_scale(image: jax.Array) -> jax.Array:
    """Return an image as float32 on the 0..1 scale: bytes are divided by 255, floats are on it already.

    >>> unit_scale(jnp.array([0, 255], jnp.uint8)).tolist()
    [0.0, 1.0]
    """
    scaled = image.astype(jnp.float32)
    return scaled / 255.0 if image.dtype == jnp.uint8 else scaled


def like(image: jax.Array, value: float) -> jax.Array:
    """Return a value of the 0..1 scale in an image's own dtype: a byte for bytes."""
    return jnp.asarray(round(value * 255) if image.dtype == jnp.uint8 else value, image.dtype)
