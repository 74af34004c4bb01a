"""What a model sees of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError


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


def with_statistics(
    spec: Spec, mean: Sequence[float] | float | None, std: Sequence[float] | float | None
) -> Spec:
    """Return a spec with the given mean and standard deviation (of each channel, or one for all) in place of its own.

    Raises InputError where only one is given, for another number of channels, and for a deviation that is not positive.

    >>> with_statistics(Spec((32, 32, 3), "uint8"), 0.5, [0.2, 0.2, 0.3]).mean
    (0.5, 0.5, 0.5)
    """
    if mean is None and std is None:
        return spec
    if mean is None or std is None:
        raise InputError("task: give both task.mean and task.std, or neither")
    return dataclasses.replace(
        spec, mean=_by_channel("mean", mean, spec), std=_by_channel("std", std, spec)
    )


def _by_channel(name: str, given: Sequence[float] | float, spec: Spec) -> tuple[float, ...]:
    channels = spec.input_shape[-1]
    numbers = tuple(map(float, given if isinstance(given, Sequence) else [given] * channels))
    if len(numbers) != channels:
        raise InputError(
            f"task.{name}: {len(numbers)} numbers, and the data has {channels} channels"
        )
    if name == "std" and min(numbers) <= 0:
        raise InputError(f"task.std: deviations are positive, got {min(numbers)}")
    return numbers
