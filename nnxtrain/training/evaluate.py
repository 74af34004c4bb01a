"""``evaluate``: the metrics of a run's checkpoint on one of its splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.config.saved import load
from nnxtrain.errors import InputError, RunError, nearest
from nnxtrain.training.checkpoint import Checkpoint, Checkpoints
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.session import Session
from nnxtrain.training.state import abstract, arrays_of, put_arrays

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
    directory = RunDirectory.open(run_dir)
    config = load(directory.config_path)
    with Checkpoints(
        directory.checkpoints_path, mode=Monitor.of(config, packages).mode
    ) as checkpoints:
        chosen = _choose(checkpoints, checkpoint, directory)
        session = Session.open(config, packages=packages)
        state = abstract(session.build)
        try:
            arrays = checkpoints.restore(chosen, arrays_of(state))
        except RunError:
            if chosen.path.exists():
                raise
            # The run is in training, and has replaced it by a newer one meanwhile.
            chosen = _choose(checkpoints, checkpoint, directory)
            arrays = checkpoints.restore(chosen, arrays_of(state))
        put_arrays(state, arrays)
    return {"split": split, "step": chosen.step, **session.evaluate(state.model, split)}


def _choose(checkpoints: Checkpoints, wanted: str | int, directory: RunDirectory) -> Checkpoint:
    if wanted not in ("best", "last"):
        if not str(wanted).isdigit():
            raise InputError(
                f"checkpoint={wanted}: choose best, last or a step{nearest(str(wanted), ['best', 'last'])}"
            )
        return checkpoints.at(int(wanted))
    found = checkpoints.best() if wanted == "best" else None
    found = found or checkpoints.latest()
    if found is None:
        raise InputError(
            f"{directory.path} has no complete checkpoint yet; go on with: nnxtrain fit run={directory.path}"
        )
    return found
