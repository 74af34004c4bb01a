"""``evaluate``: the metrics of a run's checkpoint on one of its splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError, nearest
from nnxtrain.training.restore import restore_model

SPLITS = ("train", "validation", "test")


def evaluate(
    run_dir: Path,
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the metrics, with ``split`` and the checkpoint's ``step``.

    Args:
      run_dir: a run directory; nothing in it is changed.
      split: ``train``, ``validation`` or ``test``.
      checkpoint: ``best``, ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: no such run, split or checkpoint.
    """
    if split not in SPLITS:
        raise InputError(f"split={split}: choose {', '.join(SPLITS)}{nearest(split, SPLITS)}")
    session, state, step = restore_model(run_dir, checkpoint=checkpoint, packages=packages)
    return {"split": split, "step": step, **session.evaluate(state.model, split)}
