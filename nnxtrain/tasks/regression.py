"""Regression: numbers from numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx
from nnxtrain.data.spec import Spec
from nnxtrain.tasks.inputs import standardized

LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "mse": optax.squared_error,
    "mae": lambda prediction, target: jnp.abs(prediction - target),
    "huber": optax.huber_loss,
}


class Regression:
    """Predict one or more numbers for each example.

    Args:
      loss: ``mse``, ``mae`` or ``huber`` (Huber 1964: squared up to 1, then linear), the mean over an example's targets.
      standardize: bring each input channel to mean 0 and standard deviation 1 first.
      spec: the data set's.

    A batch has ``input``, ``target`` float32[B, T] and perhaps ``mask`` bool[B] (False: padding). The model's output is
    float[B, T], or float[B] for one target. Metrics: loss, mae, rmse, r2 (over all targets together).
    """

    monitor = "loss"

    def __init__(self, loss: str = "mse", standardize: bool = True, *, spec: Spec):
        if loss not in LOSSES:
            raise ValueError(f"loss is one of {', '.join(LOSSES)}; it got {loss!r}")
        self.loss = loss
        self.standardize = standardize
        self.spec = spec

    def inputs(self, batch: dict[str, jax.Array]) -> jax.Array:
        """The model's input: float32[B, ...]."""
        return standardized(batch["input"], self.spec) if self.standardize else batch["input"]

    def outputs(self, model: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Run the model; return ``loss`` float32[B], and float32[B, T]: ``prediction``, ``target``, ``absolute_error`` and
        ``squared_error``.
        """
        target = batch["target"]
        prediction = model(self.inputs(batch)).astype(jnp.float32)
        if prediction.size != target.size:
            raise ValueError(
                f"the model's output {list(prediction.shape)} must have one number for each target {list(target.shape)}"
            )
        prediction = prediction.reshape(target.shape)
        return {
            "loss": LOSSES[self.loss](prediction, target).mean(-1),
            "prediction": prediction,
            "target": target,
            "absolute_error": jnp.abs(prediction - target),
            "squared_error": jnp.square(prediction - target),
        }

    def metrics(self) -> nnx.MultiMetric:
        """Fresh metrics; their ``update`` takes :meth:`outputs` and the mask."""
        return nnx.MultiMetric(
            loss=nnx.metrics.Average("loss"),
            mae=nnx.metrics.Average("absolute_error"),
            rmse=RootOfAverage("squared_error"),
            r2=R2(),
        )


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
