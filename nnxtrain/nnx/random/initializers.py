"""Initialisers: functions ``(key, shape, dtype) -> array`` with the names and the numbers of ``jax.nn.initializers``.

They differ from JAX's in two ways. Called eagerly they compile one program for each distribution and dtype, not one
for each shape (see :mod:`nnxtrain.nnx.random.blocks`). And they are objects that are equal where their parts are, and
can be pickled: layers keep their initialisers, and two equal layers must share their compiled functions.

Inside a trace, for keys that are not threefry's, other dtypes and with ``out_sharding``, JAX's own function is called.

>>> import jax
>>> init = he_normal()
>>> init(jax.random.key(0), (3, 3, 8, 16)).shape, init == kaiming_normal()
((3, 3, 8, 16), True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer

from nnxtrain.nnx.graph.static import static_equal, static_hash
from nnxtrain.nnx.random import blocks, constants
from nnxtrain.nnx.variable.variable import MISSING

__all__ = [
    "Initializer", "constant", "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones", "ones_init", "orthogonal",
    "truncated_normal", "uniform", "variance_scaling", "xavier_normal", "xavier_uniform", "zeros", "zeros_init",
]  # fmt: skip

Axes = int | Sequence[int]


@dataclass(frozen=True, eq=False)
class _Initializer:
    """An initialiser by its parts, which are the parameters of the function of ``jax.nn.initializers`` of its kind."""

    def __call__(
        self, key: Any, shape: Sequence[int], dtype: Any = MISSING, out_sharding: Any = None
    ) -> jax.Array:
        """Return the initial value.

        Args:
          key: a random key.
          shape: of the result.
          dtype: of the result; by default the initialiser's own, or JAX's default float.
          out_sharding: how to lay the result out on a mesh, as in ``jax.nn.initializers``.
        """
        if dtype is MISSING:
            dtype = getattr(self, "dtype", None)
        if dtype is None:
            dtype = jnp.result_type(float)
        if out_sharding is None and not isinstance(shape, int):
            value = self._eager(key, tuple(shape), dtype)
            if value is not None:
                return value
        return self._of_jax()(key, shape, dtype, out_sharding)

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        """The value made without compiling for its shape, or None where only JAX can make it."""
        return None

    def _of_jax(self) -> Any:
        """The initialiser of ``jax.nn.initializers`` with the same parts."""
        raise NotImplementedError

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and static_equal(self._parts(), other._parts())

    def __hash__(self) -> int:
        return static_hash((type(self), self._parts()))


@dataclass(frozen=True, eq=False)
class _Constant(_Initializer):
    value: Any
    dtype: Any = None

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        plain = isinstance(self.value, int | float | complex) and blocks.is_eager()
        if not plain or not blocks.is_available(dtype):
            return None
        return constants.constant(self.value, shape, dtype)

    def _of_jax(self) -> Any:
        return jax.nn.initializers.constant(self.value, self.dtype)


@dataclass(frozen=True, eq=False)
class _Uniform(_Initializer):
    scale: Any = 1e-2
    dtype: Any = None

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        return _sample("uniform", key, shape, dtype, self.scale, 0.0, 1.0)

    def _of_jax(self) -> Any:
        return jax.nn.initializers.uniform(self.scale, self.dtype)


@dataclass(frozen=True, eq=False)
class _Normal(_Initializer):
    stddev: Any = 1e-2
    dtype: Any = None

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        return _sample("normal", key, shape, dtype, self.stddev)

    def _of_jax(self) -> Any:
        return jax.nn.initializers.normal(self.stddev, self.dtype)


@dataclass(frozen=True, eq=False)
class _TruncatedNormal(_Initializer):
    stddev: Any = 1e-2
    dtype: Any = None
    lower: Any = -2.0
    upper: Any = 2.0

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        return _sample("truncated_normal", key, shape, dtype, self.stddev, self.lower, self.upper)

    def _of_jax(self) -> Any:
        parts = (self.stddev, self.dtype, self.lower, self.upper)
        return jax.nn.initializers.truncated_normal(*parts)


@dataclass(frozen=True, eq=False)
class _VarianceScaling(_Initializer):
    scale: Any
    mode: Any
    distribution: Any
    in_axis: Any = -2
    out_axis: Any = -1
    batch_axis: Any = ()
    dtype: Any = None

    def _eager(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array | None:
        if not blocks.fits(key, dtype) or not isinstance(self.scale, int | float):
            return None
        size = self._size(shape)
        if size is None:
            return None
        # In numbers of dtype, operation by operation, so that they are rounded as JAX rounds them.
        variance = np.asarray(self.scale / size, dtype)
        if self.distribution == "truncated_normal":
            # 0.87...: the standard deviation of a standard normal that is cut off at -2 and 2
            scale = np.sqrt(variance) / np.asarray(0.87962566103423978, dtype)
            return _sample("truncated_normal", key, shape, dtype, scale, -2.0, 2.0)
        if self.distribution == "normal":
            return _sample("normal", key, shape, dtype, np.sqrt(variance))
        if self.distribution == "uniform":
            scale = np.sqrt(np.asarray(3, dtype) * variance)
            return _sample("uniform", key, shape, dtype, scale, -1.0, 1.0)
        return None

    def _size(self, shape: tuple[int, ...]) -> float | None:
        """The number of inputs, of outputs, or their mean; None for what JAX has an error for."""
        if (self.in_axis == -2 and len(shape) < 2) or 0 in shape:
            return None
        fan = [_product(shape, axes) for axes in (self.in_axis, self.out_axis, self.batch_axis)]
        receptive_field = math.prod(shape) / fan[0] / fan[1] / fan[2]
        fan_in, fan_out = fan[0] * receptive_field, fan[1] * receptive_field
        sizes = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": (fan_in * fan_out) ** 0.5,
        }
        return sizes.get(self.mode)

    def _of_jax(self) -> Any:
        return jax.nn.initializers.variance_scaling(*self._parts())


@dataclass(frozen=True, eq=False)
class _Orthogonal(_Initializer):
    scale: Any = 1.0
    column_axis: int = -1
    dtype: Any = None

    def _of_jax(self) -> Any:
        return jax.nn.initializers.orthogonal(*self._parts())


@dataclass(frozen=True, eq=False)
class _DeltaOrthogonal(_Orthogonal):
    def _of_jax(self) -> Any:
        return jax.nn.initializers.delta_orthogonal(*self._parts())


def _product(shape: tuple[int, ...], axes: Axes) -> int:
    return shape[axes] if isinstance(axes, int) else math.prod(shape[axis] for axis in axes)


def _sample(
    sampler: str,
    key: Any,
    shape: tuple[int, ...],
    dtype: Any,
    scale: Any,
    low: Any = 0.0,
    high: Any = 1.0,
) -> jax.Array | None:
    numbers = all(
        isinstance(part, int | float | np.generic | np.ndarray) for part in (scale, low, high)
    )
    if not numbers or not blocks.fits(key, dtype):
        return None
    return blocks.sample(
        sampler, key, shape, jnp.dtype(dtype), low=float(low), high=float(high), scale=scale
    )


zeros = _Constant(0)
ones = _Constant(1)


def zeros_init() -> Initializer:
    """The initialiser ``zeros``."""
    return zeros


def ones_init() -> Initializer:
    """The initialiser ``ones``."""
    return ones


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An array full of ``value``."""
    return _Constant(value, dtype)


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Uniform in [0, scale)."""
    return _Uniform(scale, dtype)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Normal with mean 0 and this standard deviation."""
    return _Normal(stddev, dtype)


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """``stddev`` times a standard normal that is cut off at ``lower`` and ``upper``."""
    return _TruncatedNormal(stddev, dtype, lower, upper)


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Mean 0 and variance ``scale / n``.

    Args:
      mode: what n is: "fan_in" (the number of inputs of a unit), "fan_out" (of outputs), "fan_avg" (their arithmetic
        mean) or "fan_geo_avg" (their geometric mean).
      distribution: "truncated_normal" (cut off at two standard deviations), "normal" or "uniform".
      in_axis, out_axis, batch_axis: axes of inputs, of outputs, and those that do not count; all others are a
        convolution's window.
    """
    axes = (_fixed(in_axis), _fixed(out_axis), _fixed(batch_axis))
    return _VarianceScaling(scale, mode, distribution, *axes, dtype)


def _fixed(axes: Axes) -> int | tuple[int, ...]:
    return axes if isinstance(axes, int) else tuple(axes)


def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Glorot and Bengio 2010, http://proceedings.mlr.press/v9/glorot10a.html: fan_avg, uniform."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Glorot and Bengio 2010, http://proceedings.mlr.press/v9/glorot10a.html: fan_avg, truncated normal."""
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """LeCun et al. 1998, Efficient BackProp: fan_in, uniform."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """LeCun et al. 1998, Efficient BackProp: fan_in, truncated normal."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """He et al. 2015, https://arxiv.org/abs/1502.01852: 2 / fan_in, uniform."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """He et al. 2015, https://arxiv.org/abs/1502.01852: 2 / fan_in, truncated normal."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """``scale`` times a random orthogonal matrix (Saxe et al. 2014, https://arxiv.org/abs/1312.6120), of the shape's
    ``column_axis`` against all others."""
    return _Orthogonal(scale, column_axis, dtype)


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An orthogonal matrix at the centre of a convolution's window (Xiao et al. 2018,
    https://arxiv.org/abs/1806.05393), zeros elsewhere. For shapes of 3 to 5 axes."""
    return _DeltaOrthogonal(scale, column_axis, dtype)


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal
