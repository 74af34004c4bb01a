"""``evaluate``: the metrics of a run's checkpoint on one of its splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain import nnx
from nnxtrain.errors import InputError, nearest
from nnxtrain.training.details import details as details_of
from nnxtrain.training.evaluation import measure
from nnxtrain.training.host_values import host_values
from nnxtrain.training.restore import restore_model

SPLITS = ("train", "validation", "test")


def evaluate(
    run_dir: Path,
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    details: bool = False,
) -> dict[str, Any]:
    """Return the metrics, with ``split`` and the checkpoint's ``step``.

    Args:
      run_dir: a run directory; nothing in it is changed.
      split: ``train``, ``validation`` or ``test``.
      checkpoint: ``best``, ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.
      details: add ``details``: the confusion matrix and each class's scores, or each target's errors; see
        :func:`nnxtrain.training.details.details`.

    Raises:
      InputError: no such run, split or checkpoint.
    """
    check_split(split)
    session, state, step = restore_model(
        run_dir, checkpoint=checkpoint, packages=packages, everywhere=True
    )
    found = {"split": split, "step": step}
    if not details:
        return found | session.evaluate(state.averaged, split)
    task, source = session.task, getattr(session.placed, split)
    if not hasattr(task, "diagnostics"):
        raise InputError(
            f"--details: the task {type(task).__name__} has no method diagnostics(), which says what they are"
        )
    both = nnx.MultiMetric(metrics=task.metrics(), diagnostics=task.diagnostics())
    batch_size = session.eval_batch_size(source)
    values = measure(
        session.eval_step,
        both,
        state.averaged,
        source,
        batch_size=batch_size,
        layout=session.layout,
    )
    return {
        **found,
        **host_values(values["metrics"]),
        "details": details_of(values["diagnostics"], source.spec),
    }


def check_split(split: str) -> None:
    """Raise InputError for what is none of the splits."""
    if split not in SPLITS:
        raise InputError(f"split={split}: choose {', '.join(SPLITS)}{nearest(split, SPLITS)}")
