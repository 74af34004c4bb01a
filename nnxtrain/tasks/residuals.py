"""Metrics of numbers: root mean square, R2, and the errors of each target."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnxtrain import nnx


class RootOfAverage(nnx.metrics.Average):
    """The square root of the mean of all values given."""

    def compute(self) -> jax.Array:
        return jnp.sqrt(super().compute())


class R2(nnx.Metric):
    """The coefficient of determination, ``1 - sum((y - p)**2) / sum((y - mean(y))**2)`` over all targets together.

    >>> r2 = R2()
    >>> r2.update(squared_error=jnp.array([[0.0], [0.0], [1.0]]), target=jnp.array([[1.0], [2.0], [3.0]]))
    >>> float(r2.compute())
    0.5
    """

    def __init__(self) -> None:
        self.squared_error = nnx.metrics.Average("squared_error")
        self.targets = nnx.metrics.Welford("target")

    def reset(self) -> None:
        self.squared_error.reset()
        self.targets.reset()

    def update(self, **outputs: Any) -> None:
        self.squared_error.update(**outputs)
        self.targets.update(**outputs)

    def compute(self) -> jax.Array:
        deviation = self.targets.compute().standard_deviation
        return 1.0 - self.squared_error.compute() / jnp.square(deviation)


class ResidualSummary(NamedTuple):
    """The errors of each target, float32[T]; ``bias`` is the mean of prediction - target, ``max_error`` the largest."""

    mae: jax.Array
    rmse: jax.Array
    r2: jax.Array
    bias: jax.Array
    max_error: jax.Array


class Residuals(nnx.Metric):
    """The errors of each of ``num_targets`` targets by itself, NaN before the first example.

    ``update(prediction=float[B, T], target=float[B, T], mask=bool[B])``. Deviations are gathered around the mean so far
    (Chan et al. 1979), so that a large offset costs no digits.

    >>> residuals = Residuals(1)
    >>> residuals.update(
    ...     prediction=jnp.array([[1.0], [2.0], [3.0], [6.0]]), target=jnp.array([[1.0], [2.0], [3.0], [2.0]])
    ... )
    >>> summary = residuals.compute(); summary.bias.tolist(), summary.max_error.tolist(), summary.r2.tolist()
    ([1.0], [4.0], [-7.0])
    """

    def __init__(self, num_targets: int):
        zeros = jnp.zeros(num_targets, jnp.float32)
        self.count = nnx.metrics.MetricState(jnp.zeros((), jnp.float32))
        self.absolute = nnx.metrics.MetricState(zeros)
        self.largest = nnx.metrics.MetricState(zeros)
        self.error = Columns(zeros)
        self.target = Columns(zeros)

    def reset(self) -> None:
        for state in (self.count, self.absolute, self.largest):
            state.value = jnp.zeros_like(state.value)
        self.error.reset()
        self.target.reset()

    def update(  # type: ignore[override]
        self, *, prediction: jax.Array, target: jax.Array, mask: Any = None, **_: Any
    ) -> None:
        seen = jnp.ones(len(target), bool) if mask is None else jnp.asarray(mask, bool)
        seen = seen[:, None]
        residual = jnp.where(seen, prediction - target, 0.0)
        old, new = self.count.value, seen.sum()
        self.absolute.value += jnp.abs(residual).sum(0)
        self.largest.value = jnp.maximum(self.largest.value, jnp.abs(residual).max(0))
        self.error.update(residual, seen, old, new)
        self.target.update(target, seen, old, new)
        self.count.value = old + new

    def compute(self) -> ResidualSummary:
        n = self.count.value
        some = jnp.where(n > 0, 1.0, jnp.nan)
        squares = self.error.m2.value / n + jnp.square(self.error.mean.value)
        return ResidualSummary(
            mae=self.absolute.value / n,
            rmse=jnp.sqrt(squares),
            r2=1.0 - squares * n / self.target.m2.value,
            bias=self.error.mean.value * some,
            max_error=self.largest.value * some,
        )


class Columns(nnx.Module):
    """The mean of each column, and the sum of squared deviations from it."""

    def __init__(self, zeros: jax.Array):
        self.mean = nnx.metrics.MetricState(zeros)
        self.m2 = nnx.metrics.MetricState(zeros)

    def reset(self) -> None:
        self.mean.value = self.m2.value = jnp.zeros_like(self.mean.value)

    def update(self, values: jax.Array, seen: jax.Array, old: jax.Array, new: jax.Array) -> None:
        """Add the rows of ``values`` that are ``seen``, ``new`` in number, to the ``old`` ones."""
        total = jnp.maximum(old + new, 1.0)
        mean = jnp.where(seen, values, 0.0).sum(0) / jnp.maximum(new, 1.0)
        delta = mean - self.mean.value
        squares = jnp.where(seen, jnp.square(values - mean), 0.0).sum(0)
        self.m2.value += squares + delta**2 * old * new / total
        self.mean.value += delta * new / total
