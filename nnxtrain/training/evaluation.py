"""Evaluate a model on a source: every example counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnxtrain import nnx
from nnxtrain.data.loader import eval_batches
from nnxtrain.data.placement import resident
from nnxtrain.data.source import Source
from nnxtrain.parallel.layout import Layout
from nnxtrain.training.host_values import host_values


class EvaluationStopped(Exception):  # noqa: N818 (a request, not an error)
    """The evaluation was not finished, as someone asked to stop."""


def evaluate_source(
    eval_step: Callable,
    task: Any,
    model: nnx.Module,
    source: Source,
    *,
    batch_size: int,
    layout: Layout | None = None,
    stop: Callable[[], object] = bool,
) -> dict[str, float]:
    """Return the task's metrics of ``model`` in evaluation mode over all of ``source``.

    Raises :class:`EvaluationStopped` as :func:`measure`.
    """
    metrics = task.metrics()
    return host_values(
        measure(eval_step, metrics, model, source, batch_size=batch_size, layout=layout, stop=stop)
    )


def measure(
    eval_step: Callable,
    metrics: nnx.MultiMetric,
    model: nnx.Module,
    source: Source,
    *,
    batch_size: int,
    layout: Layout | None = None,
    stop: Callable[[], object] = bool,
) -> dict[str, Any]:
    """Return what ``metrics``, fresh ones, say of ``model`` in evaluation mode over all of ``source``.

    The mode is set on a second set of modules around the same Variables: a layer that its author fixed in one mode
    keeps it, and the training step need not look at the model's structure again.

    Raises EvaluationStopped when ``stop()``, which is asked after each batch, is true.
    """
    view = nnx.clone(model, variables=False)
    view.eval()
    arrays = resident(source)
    rows = None
    if layout is not None:
        layout.replicate(metrics)
        rows = layout.local_rows(batch_size)
    for batch in eval_batches(source, batch_size=batch_size, rows=rows):
        placed = batch if layout is None else layout.put(batch, batch_size)
        eval_step(view, metrics, placed, arrays)
        if stop():
            raise EvaluationStopped
    return metrics.compute()
