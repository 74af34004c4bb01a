"""Open what a run has trained: its session and its state as they were at a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from nnxtrain.config.saved import load
from nnxtrain.config.schema import MeshConfig
from nnxtrain.errors import InputError, RunError
from nnxtrain.parallel.mesh import axis_sizes
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.data_card import DataCard
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, arrays_of, put_arrays


class Restored(NamedTuple):
    """A run at one of its checkpoints."""

    session: Session
    state: TrainState
    step: int


def restore_model(
    run_dir: Path,
    *,
    checkpoint: str | int = "best",
    packages: Sequence[str] = (),
    everywhere: bool = False,
) -> Restored:
    """Return the run's session, its state and the checkpoint's step.

    Of the state only the models are read: ``state.averaged`` is the one to use. The data is not read before the session's
    ``splits`` are asked for, so that a run can be used where its data is not.

    Args:
      run_dir: a run directory; nothing in it is changed.
      checkpoint: ``best`` (by the monitored metric; without scores, the last), ``last`` or a step.
      packages: packages of the user that ``_target_`` may name.
      everywhere: over all devices, by the run's mesh if they can make it, else with the model whole on each; without, on
        the first device alone.

    Raises:
      InputError: no such run or checkpoint.
      RunError: the checkpoint cannot be read.
    """
    directory = RunDirectory.open(run_dir)
    config = load(directory.config_path)
    if not (everywhere and _fits(config.mesh)):
        config = dataclasses.replace(config, mesh=MeshConfig())
    with Checkpoints(
        directory.checkpoints_path, mode=Monitor.of(config, packages).mode
    ) as checkpoints:
        chosen = checkpoints.choose(checkpoint)
        data = DataCard.read(directory.data_path, packages=packages)
        session = Session.open(
            config, packages=packages, data=data, devices=None if everywhere else jax.devices()[:1]
        )
        state = session.abstract()
        like = {name: x for name, x in arrays_of(state).items() if name in ("model", "ema")}
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


def _fits(mesh: MeshConfig) -> bool:
    """Whether the devices that are here can make a run's mesh."""
    try:
        axis_sizes(mesh, jax.device_count())
    except InputError:
        return False
    return True
