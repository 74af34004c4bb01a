"""Open what a run has trained: its session and its state as they were at a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nnxtrain.config.saved import load
from nnxtrain.errors import RunError
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.data_card import DataCard
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, abstract, arrays_of, put_arrays


class Restored(NamedTuple):
    """A run at one of its checkpoints."""

    session: Session
    state: TrainState
    step: int


def restore_model(
    run_dir: Path, *, checkpoint: str | int = "best", packages: Sequence[str] = ()
) -> Restored:
    """Return the run's session, its state and the checkpoint's step.

    Of the state only the models are read: ``state.averaged`` is the one to use. The data is not read before the session's
    ``splits`` are asked for, so that a run can be used where its data is not.

    Args:
      run_dir: a run directory; nothing in it is changed.
      checkpoint: ``best`` (by the monitored metric; without scores, the last), ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: no such run or checkpoint.
      RunError: the checkpoint cannot be read.
    """
    directory = RunDirectory.open(run_dir)
    config = load(directory.config_path)
    with Checkpoints(
        directory.checkpoints_path, mode=Monitor.of(config, packages).mode
    ) as checkpoints:
        chosen = checkpoints.choose(checkpoint)
        data = DataCard.read(directory.data_path, packages=packages)
        session = Session.open(config, packages=packages, data=data)
        state = abstract(session.build)
        like = {name: part for name, part in arrays_of(state).items() if name in ("model", "ema")}
        try:
            arrays = checkpoints.restore(chosen, like, partial=True)
        except RunError:
            if chosen.path.exists():
                raise
            # The run is in training, and has replaced it by a newer one meanwhile.
            chosen = checkpoints.choose(checkpoint)
            arrays = checkpoints.restore(chosen, like, partial=True)
        put_arrays(state, arrays)
    return Restored(session, state, chosen.step)
