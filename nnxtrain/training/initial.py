"""Begin a new run with trained weights: those of another run's checkpoint, or of a safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnxtrain import nnx
from nnxtrain.config.patterns import matching
from nnxtrain.config.saved import load
from nnxtrain.config.schema import InitConfig
from nnxtrain.errors import InputError
from nnxtrain.nnx.saving.report import LoadError, LoadReport, match
from nnxtrain.nnx.saving.values import spec_of
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.monitor import Monitor
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.state import TrainState

Values = dict[tuple[str, ...], np.ndarray]
WEIGHTS = nnx.Any(nnx.Param, nnx.BatchStat)


@dataclass(frozen=True)
class Start:
    """Trained weights that fit a model.

    Attributes:
      line: says which, and what is left out.
      values: host arrays by the path that they have in the model.
    """

    line: str
    values: Values

    def put(self, state: TrainState) -> None:
        """Write the weights into a fresh state, and into the averages where such are kept."""
        for variables in (nnx.variables(state.model), state.ema.params if state.ema else {}):
            for path, variable in nnx.to_flat_state(variables):
                value = self.values.get(tuple(map(str, path)))
                if value is not None:
                    like = variable.get_raw_value()
                    # A committed array among others would compile the step anew, after the first.
                    place = like.sharding if like.committed else None
                    variable.set_raw_value(jax.device_put(value, place))


def find_start(init: InitConfig, model: nnx.Module, *, packages: Sequence[str] = ()) -> Start:
    """Return the trained weights that a model is to begin with.

    Only parameters and batch statistics are taken. Every one of the model must be found, with its shape, but for those that
    ``init.skip`` names, which keep their fresh values; what the weights have beside them is left out.

    Args:
      model: says what is wanted; it may be abstract.

    Raises:
      InputError: no such run, checkpoint or file, or the weights do not fit.
    """
    variables = {tuple(map(str, p)): v for p, v in nnx.to_flat_state(nnx.variables(model, WEIGHTS))}
    paths = {".".join(path): path for path in variables}
    fresh = {path for pattern in init.skip for path in _skipped(pattern, paths)}
    wanted = {path: variables[path] for name, path in paths.items() if name not in fresh}
    name, saved = _weights(init, packages)
    try:
        report, found = match(
            {path: spec_of(".".join(path), value) for path, value in saved.items()},
            {path: spec_of(".".join(path), v.get_raw_value()) for path, v in wanted.items()},
            dict(pair.split(":") for pair in init.map),
        )
    except LoadError as error:
        raise InputError(f"init.map: {error}") from error
    if report.missing or report.mismatched:
        raise InputError(f"{name} does not fit the model: {_misfits(report)}")
    line = f"starting from {name}: {len(found)} of {len(variables)} arrays"
    if report.unexpected:
        line += f"; not used: {_listed(report.unexpected)}"
    return Start(line, {path: saved[old] for path, old in found.items() if old is not None})


def _weights(init: InitConfig, packages: Sequence[str]) -> tuple[str, Values]:
    if init.file is not None:
        return init.file, _file_values(Path(init.file))
    assert init.run is not None
    directory = RunDirectory.open(init.run)
    mode = Monitor.of(load(directory.config_path), packages).mode
    with Checkpoints(directory.checkpoints_path, mode=mode) as checkpoints:
        chosen = checkpoints.choose(init.checkpoint)
        prefixes = ("model/", "ema/params/")  # averages are what the run was evaluated by
        flat = checkpoints.arrays(chosen, prefixes)
    values = {
        tuple(path.removeprefix(prefix).split("/")): value
        for prefix in prefixes
        for path, value in flat.items()
        if path.startswith(prefix)
    }
    return f"{directory.path} (step {chosen.step})", values


def _file_values(path: Path) -> Values:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise InputError(
            "init.file needs safetensors: pip install 'nnxtrain[safetensors]'"
        ) from error
    try:
        return {tuple(name.split(".")): value for name, value in load_file(path).items()}
    except Exception as error:  # safetensors' own kinds, and the system's
        raise InputError(f"init.file={path} cannot be read: {error}") from error


def _skipped(pattern: str, paths: Any) -> list[str]:
    try:
        return matching(pattern, paths)
    except InputError as error:
        raise InputError(f"init.skip: {error}") from error


def _misfits(report: LoadReport) -> str:
    other = [
        f"{name} is {saved} and should be {wanted}" for name, saved, wanted in report.mismatched
    ]
    lacking = [
        f"{name} (it has {report.renamed[name]})" if name in report.renamed else name
        for name in report.missing
    ]
    parts = [_listed(other)] if other else []
    parts += [f"it lacks {_listed(lacking)}"] if lacking else []
    first = (report.missing or [report.mismatched[0][0]])[0].split(".")[0]
    return f"{'; '.join(parts)}; to keep fresh values there: init.skip=[{first}], or give other names by init.map"


def _listed(names: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
