"""Arrays of one value, made on the host: eagerly, JAX compiles a program for each of their shapes."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from nnxtrain.nnx.random.blocks import aligned


def constant(value: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Return an array of ``dtype``, uncommitted, on the default device.

    >>> constant(0, (2, 3), "float32").tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    array = aligned(math.prod(shape), np.dtype(dtype), zero=True)
    if value != 0:
        array[:] = value
    return jax.device_put(array.reshape(shape))
