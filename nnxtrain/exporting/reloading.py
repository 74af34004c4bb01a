"""Does an export give what the model gives? Asked of its own ``load.py``, in a process that knows nothing of nnxtrain."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnxtrain import nnx
from nnxtrain.errors import RunError
from nnxtrain.exporting.program import Program, infer, inputs_of

# Reads 0.npz, 1.npz, ... in the folder that it is told, and writes 0.npy, 1.npy, ...
_READER = """
import pathlib, runpy, sys
import numpy
predict = runpy.run_path("load.py")["predict"]
folder = pathlib.Path(sys.argv[1])
for file in folder.glob("*.npz"):
    with numpy.load(file) as inputs:
        numpy.save(file.with_suffix(".npy"), predict(*inputs.values()))
if "nnxtrain" in sys.modules:
    sys.exit("load.py imports nnxtrain")
"""


@dataclass(frozen=True)
class Comparison:
    """Of the reloaded program with the model.

    Attributes:
      platform: where both ran.
      examples: how many.
      max_difference: the largest, of any number of an answer.
      relative: the same, as a share of the largest number there is.
    """

    platform: str
    examples: int
    max_difference: float
    relative: float

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


def compare(
    folder: Path,
    program: Program,
    task: Any,
    model: nnx.Module,
    examples: dict[str, Any],
    *,
    tolerance: float,
) -> Comparison | None:
    """Call the export in a new process on the examples, in batches of two sizes, and compare with the model.

    None where the export is for none of the platforms that are here.

    Raises:
      RunError: it cannot be loaded or called, or a number is off by more than ``tolerance`` times the largest.
    """
    device = _device(program.exported.platforms)
    if device is None:
        return None
    inputs = inputs_of(examples)
    expected = _answers(task, model, inputs, device)
    with tempfile.TemporaryDirectory() as place:
        parts = _parts(program, len(expected))
        for number, rows in enumerate(parts):
            np.savez(f"{place}/{number}.npz", **{k: v[rows] for k, v in inputs.items()})
        _run(folder, place, device.platform)
        found = [np.load(f"{place}/{number}.npy") for number in range(len(parts))]
    actual = np.concatenate(found)
    difference, relative = _difference(actual, expected)
    if not relative <= tolerance:
        raise RunError(
            f"the reloaded program differs from the model by {difference:.2g} ({relative:.2g} of the largest number, "
            f"more than {tolerance:.0e}); nothing was published"
        )
    return Comparison(device.platform, len(expected), difference, relative)


def _device(platforms: Sequence[str]) -> Any:
    """A CPU, where the numbers of two programs agree best, or else the device of this process."""
    if "cpu" in platforms:
        try:
            return jax.local_devices(backend="cpu")[0]
        except RuntimeError:  # JAX_PLATFORMS leaves it out
            pass
    device = jax.local_devices()[0]
    names = ("cuda", "rocm") if device.platform == "gpu" else (device.platform,)
    return device if {*names} & {*platforms} else None


def _answers(task: Any, model: nnx.Module, inputs: dict[str, Any], device: Any) -> np.ndarray:
    graphdef, state = nnx.split(model)
    there = nnx.merge(graphdef, jax.device_put(state, device))
    with jax.default_device(device):
        (answers,) = nnx.jit(lambda model, batch: infer(task, model, batch))(there, inputs).values()
        return np.asarray(answers)


def _parts(program: Program, rows: int) -> list[slice]:
    """One example by itself and the others together; where the batch size is fixed, all together."""
    fixed = isinstance(program.input_types[0].shape[0], int)
    return [slice(rows)] if fixed or rows == 1 else [slice(1), slice(1, rows)]


def _run(folder: Path, place: str, platform: str) -> None:
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if platform == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run(
        [sys.executable, "-c", _READER, place],
        cwd=folder,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"the exported program cannot be loaded again: {line}")


def _difference(actual: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """The largest difference, absolute and as a share of the largest number; NaN where only one of a pair is NaN."""
    if actual.shape != expected.shape:
        return float("nan"), float("nan")
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        difference = float(np.where(same, 0, np.abs(actual - expected)).max(initial=0))
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return difference, difference / max(largest, 1e-30)
