"""Where trials run. Each launcher takes numbers of trials and sees that each is run by ``nnxtrain.sweep.trial``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.launcher import Launcher
from nnxtrain.sweep.spec import LauncherName, SweepConfig

_CLASSES = {
    LauncherName.local: ("local", "LocalLauncher"),
    LauncherName.slurm: ("slurm", "SlurmLauncher"),
    LauncherName.ray: ("ray", "RayLauncher"),
}

__all__ = ["Launcher", "make_launcher", "manage"]


def make_launcher(spec: SweepConfig) -> Launcher:
    """Return the launcher that a sweep asks for."""
    module, name = _CLASSES[spec.launcher]
    made: Launcher = getattr(importlib.import_module(f"{__name__}.{module}"), name)(spec)
    return made


def manage(sweep: SweepDirectory, numbers: Sequence[int]) -> None:
    """Be the process in the background that some launchers start: run trials and return when all have ended."""
    module, _ = _CLASSES[sweep.spec.launcher]
    importlib.import_module(f"{__name__}.{module}").manage(sweep, numbers)
