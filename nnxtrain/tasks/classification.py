"""Classification of images and of rows of numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx
from nnxtrain.data.spec import Spec
from nnxtrain.tasks.inputs import standardized


class Classification:
    """Cross-entropy over classes.

    Args:
      label_smoothing: this much of each label is spread over all classes (Szegedy et al. 2015,
        https://arxiv.org/abs/1512.00567).
      spec: the data set's, for the channels' mean and standard deviation.

    A batch has ``input`` (of the spec's shape and dtype), ``label`` int32[B] and perhaps ``mask`` bool[B] (False: padding).
    """

    monitor = "accuracy"

    def __init__(self, label_smoothing: float = 0.0, *, spec: Spec):
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing is a share, 0 to 1; it got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.spec = spec

    def inputs(self, batch: dict[str, jax.Array]) -> jax.Array:
        """The model's input: see :func:`standardized`."""
        return standardized(batch["input"], self.spec)

    def outputs(self, model: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Run the model; return per example ``loss`` float32[B], ``logits`` float32[B, classes] and ``labels`` int32[B]."""
        logits = model(self.inputs(batch)).astype(jnp.float32)
        labels = batch["label"]
        targets = jax.nn.one_hot(labels, logits.shape[-1])
        targets = optax.smooth_labels(targets, self.label_smoothing)
        return {
            "loss": optax.softmax_cross_entropy(logits, targets),
            "logits": logits,
            "labels": labels,
        }

    def metrics(self) -> nnx.MultiMetric:
        """Fresh metrics; their ``update`` takes :meth:`outputs` and the mask."""
        return nnx.MultiMetric(loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy())
