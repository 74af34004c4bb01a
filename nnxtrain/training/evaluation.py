"""Evaluate a model on a source: every example counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnxtrain import nnx
from nnxtrain.data.loader import eval_batches
from nnxtrain.data.placement import resident
from nnxtrain.data.source import Source
from nnxtrain.training.host_values import host_values


def evaluate_source(
    eval_step: Callable, task: Any, model: nnx.Module, source: Source, *, batch_size: int
) -> dict[str, float]:
    """Return the task's metrics of ``model`` in evaluation mode over all of ``source``."""
    return host_values(measure(eval_step, task.metrics(), model, source, batch_size=batch_size))


def measure(
    eval_step: Callable,
    metrics: nnx.MultiMetric,
    model: nnx.Module,
    source: Source,
    *,
    batch_size: int,
) -> dict[str, Any]:
    """Return what ``metrics``, fresh ones, say of ``model`` in evaluation mode over all of ``source``.

    The mode is set on a second set of modules around the same Variables: a layer that its author fixed in one mode
    keeps it, and the training step need not look at the model's structure again.
    """
    view = nnx.clone(model, variables=False)
    view.eval()
    arrays = resident(source)
    for batch in eval_batches(source, batch_size=batch_size):
        eval_step(view, metrics, batch, arrays)
    return metrics.compute()
