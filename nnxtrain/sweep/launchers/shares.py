"""How a machine is shared out to the trials that run at once on it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

from nnxtrain.errors import InputError
from nnxtrain.sweep.spec import SweepConfig

MEMORY = 0.9  # of a GPU's, to be shared by the trials on it


@dataclass(frozen=True)
class Share:
    """What one trial at a time has: cores by number (none: all), and environment variables."""

    cores: frozenset[int] = frozenset()
    environment: dict[str, str] = field(default_factory=dict)


def shares(
    spec: SweepConfig,
    trials: int | None = None,
    *,
    cores: list[int] | None = None,
    gpus: list[str] | None = None,
) -> list[Share]:
    """Return a share for each trial that runs at once.

    Without ``spec.parallel`` these are as many as there are GPUs, or parts of ``spec.local.gpus`` of them; without GPUs,
    parts of ``spec.local.cores`` cores, or one trial with all cores. Where there are fewer GPUs than trials at once,
    several share one, and its memory.

    Args:
      trials: how many there are; more shares are not made.
      cores, gpus: the machine's; found out if None.

    Raises InputError for more than there is.

    >>> from nnxtrain.sweep.spec import LocalConfig
    >>> both = shares(SweepConfig(parallel=2), cores=[0, 1, 2, 3], gpus=["0"])
    >>> [sorted(share.cores) for share in both], both[1].environment
    ([[0, 1], [2, 3]], {'CUDA_VISIBLE_DEVICES': '0', 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.45'})
    """
    cores = machine_cores() if cores is None else cores
    gpus = _gpus() if gpus is None else gpus
    local = spec.local
    if local.gpus is not None and local.gpus > len(gpus):
        raise InputError(f"sweep.local.gpus={local.gpus}: this machine has {len(gpus)}")
    if local.cores is not None and local.cores > len(cores):
        raise InputError(f"sweep.local.cores={local.cores}: this machine has {len(cores)}")
    room = len(gpus) // (local.gpus or 1) if gpus else len(cores) // (local.cores or len(cores))
    count = spec.parallel or room
    count = max(1, min(count, trials or count))
    return [
        Share(_part(cores, local.cores, index, count), _environment(gpus, local.gpus, index, count))
        for index in range(count)
    ]


def _part(cores: list[int], each: int | None, index: int, count: int) -> frozenset[int]:
    """Cores of one trial: as many for each, the last ones left over; more trials than cores take turns."""
    size = each or max(1, len(cores) // count)
    return frozenset(cores[(index * size + k) % len(cores)] for k in range(size))


def _environment(gpus: list[str], each: int | None, index: int, count: int) -> dict[str, str]:
    if not gpus:
        return {}
    size = each or max(1, len(gpus) // count)
    mine = [gpus[(index * size + k) % len(gpus)] for k in range(size)]
    found = {"CUDA_VISIBLE_DEVICES": ",".join(mine)}
    together = -(-count * size // len(gpus))
    if together > 1:
        found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{MEMORY / together:.2f}"
    return found


def machine_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _gpus() -> list[str]:
    """The GPUs that programs here may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))]
