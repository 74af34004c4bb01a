"""What a model sees of a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nnxtrain.data.spec import Spec


def standardized(x: jax.Array, spec: Spec) -> jax.Array:
    """Return inputs with mean 0 and standard deviation 1 for each channel over the train split.

    Args:
      x: uint8[B, ..., C] (bytes, brought to 0..1 first), float[B, ..., C], or tokens int32[B, ...], which stay as they are.
      spec: the data set's; without statistics nothing is subtracted.

    Returns:
      float32 of the same shape; tokens unchanged.

    >>> spec = Spec((2,), "uint8", mean=(0.5, 0.0), std=(0.5, 1.0))
    >>> standardized(jnp.array([[255, 255]], jnp.uint8), spec).tolist()
    [[1.0, 1.0]]
    """
    if x.dtype == jnp.uint8:
        x = x.astype(jnp.float32) / 255.0
    if not jnp.issubdtype(x.dtype, jnp.floating) or not spec.mean:
        return x
    mean, std = jnp.asarray(spec.mean, jnp.float32), jnp.asarray(spec.std, jnp.float32)
    return (x.astype(jnp.float32) - mean) / std
