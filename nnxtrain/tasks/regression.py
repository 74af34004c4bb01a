"""Regression: numbers from numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks.inputs import standardized, with_statistics
from nnxtrain.tasks.precision import at_least_float32
from nnxtrain.tasks.residuals import R2, Residuals, RootOfAverage

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
      mean, std: of the input's channels, one number for each or one for all, in place of those of the train split.
      spec: the data set's.

    A batch has ``input``, ``target`` float32[B, T] and perhaps ``mask`` bool[B] (False: padding). The model's output is
    float[B, T], or float[B] for one target. Metrics: loss, mae, rmse, r2 (over all targets together).
    """

    monitor = "loss"

    def __init__(
        self,
        loss: str = "mse",
        standardize: bool = True,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        *,
        spec: Spec,
    ):
        if loss not in LOSSES:
            raise ValueError(f"loss is one of {', '.join(LOSSES)}; it got {loss!r}")
        if not spec.target_names:
            raise InputError(
                "task: regression needs numbers to predict, and the data has none; for classes take task=classification"
            )
        self.loss = loss
        self.standardize = standardize
        self.spec = with_statistics(spec, mean, std)

    def inputs(self, batch: dict[str, jax.Array]) -> jax.Array:
        """The model's input: float32[B, ...]."""
        return standardized(batch["input"], self.spec) if self.standardize else batch["input"]

    def outputs(self, model: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Run the model; return ``loss`` float32[B], and float32[B, T]: ``prediction``, ``target``, ``absolute_error`` and
        ``squared_error``. Of a batch without targets there is ``prediction`` alone.
        """
        prediction = at_least_float32(model(self.inputs(batch)))
        shape = (prediction.shape[0], len(self.spec.target_names))
        if prediction.size != shape[0] * shape[1]:
            raise InputError(
                f"the model's output {list(prediction.shape)} must have one number for each target {list(shape)}"
            )
        prediction = prediction.reshape(shape)
        if "target" not in batch:
            return {"prediction": prediction}
        target = batch["target"]
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

    def predictions(self, outputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """``prediction`` float32[B, T], and ``target`` float32[B, T] where it is known."""
        return {name: outputs[name] for name in ("prediction", "target") if name in outputs}

    def diagnostics(self) -> nnx.MultiMetric:
        """``residuals``: a summary of each target's errors, :class:`ResidualSummary`."""
        return nnx.MultiMetric(residuals=Residuals(len(self.spec.target_names)))
