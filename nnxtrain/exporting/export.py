"""``export``: from a run to a folder with its model."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnxtrain import nnx
from nnxtrain.config.schema import Precision
from nnxtrain.data.source import Batch, Splits
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError, nearest
from nnxtrain.exporting.folder import DESCRIPTION, FORMAT, check_free, published
from nnxtrain.exporting.loading import PROGRAM, WEIGHTS, load_lines, load_script
from nnxtrain.exporting.program import PLATFORMS, Program, export_program
from nnxtrain.exporting.program import WEIGHTS as WEIGHT_FILTER
from nnxtrain.exporting.reloading import Comparison, compare
from nnxtrain.storage.atomic_write import atomic_write
from nnxtrain.storage.json_values import finite
from nnxtrain.training.metrics_log import read_metrics
from nnxtrain.training.provenance import versions
from nnxtrain.training.restore import restore_model
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_summary import metrics_of

EXAMPLES = 8  # that the reloaded program is tried on
# How far its numbers may be off, as a share of the largest. Two compiled programs round at different places, and where
# they compute in few digits that shows.
TOLERANCE = {Precision.float32: 1e-5, Precision.bfloat16: 5e-2, Precision.float16: 5e-3}


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
      path: the folder.
      step: the checkpoint's.
      files: sizes in bytes by name.
      program: the exported program.
      comparison: of the reloaded program with the model; None where none of its platforms is here.
      how_to_load: lines of Python.
    """

    path: Path
    step: int
    files: dict[str, int]
    program: Program
    comparison: Comparison | None
    how_to_load: list[str]


def export(
    run_dir: Path,
    out: Path | None = None,
    *,
    checkpoint: str | int = "best",
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    weights: str = "inside",
    batch: int | None = None,
    overwrite: bool = False,
    packages: Sequence[str] = (),
) -> Export:
    """Write a run's model as a folder that JAX loads without nnxtrain, and try that in a new process.

    The folder holds ``model.stablehlo`` (a serialised ``jax.export.Exported``: raw examples in, float32 logits or
    predictions out), ``weights.safetensors`` (where safetensors is installed), ``load.py`` and ``model.json``. It appears
    whole or not at all.

    Args:
      run_dir: a run directory.
      out: the folder; by default ``export`` in the run's directory.
      checkpoint: ``best``, ``last`` or a step.
      platforms: what to lower for, of cpu, cuda, rocm, tpu.
      weights: ``inside`` the program, or ``separate``: an argument of it, read from ``weights.safetensors``.
      batch: a fixed batch size, for models that need one.
      overwrite: whether an earlier export at ``out`` is replaced.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: no such run or checkpoint, a folder that holds something else, a model that cannot be lowered so.
      RunError: the folder cannot be written, or the reloaded program differs from the model.
    """
    _check(platforms, weights, batch)
    directory = RunDirectory.open(run_dir)
    folder = directory.path / "export" if out is None else out
    check_free(folder, replace=overwrite)
    session, state, step = restore_model(run_dir, checkpoint=checkpoint, packages=packages)
    spec, task = session.splits.train.spec, session.task
    model = nnx.clone(state.averaged, variables=False)
    model.eval()
    examples = _examples(session.splits, batch)
    separate = weights == "separate"
    program = export_program(
        task, model, examples, platforms=platforms, separate=separate, batch=batch
    )
    with published(folder, replace=overwrite) as building:
        atomic_write(building / PROGRAM, bytes(program.exported.serialize()))
        atomic_write(building / "load.py", load_script(program).encode())
        if _has_safetensors():
            nnx.save_safetensors(building / WEIGHTS, model, WEIGHT_FILTER)
        tolerance = TOLERANCE[session.config.trainer.precision]
        comparison = compare(building, program, task, model, examples, tolerance=tolerance)
        content = {
            "format": FORMAT,
            "run": directory.name,
            "step": step,
            "metrics": _metrics(directory, step),
            "program": _described(program),
            **_meanings(spec),
            "check": comparison and comparison.as_dict(),
            "versions": versions(),
            "files": {p.name: _digest(p) for p in sorted(building.iterdir())},
        }
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        atomic_write(building / DESCRIPTION, text.encode() + b"\n")
        files = {path.name: path.stat().st_size for path in sorted(building.iterdir())}
    return Export(folder, step, files, program, comparison, load_lines(program, str(folder)))


def _check(platforms: Sequence[str], weights: str, batch: int | None) -> None:
    for name in platforms:
        if name not in PLATFORMS:
            hint = nearest(name, PLATFORMS) if name != "gpu" else "; did you mean 'cuda'?"
            raise InputError(f"--platforms: no {name!r}; choose of {', '.join(PLATFORMS)}{hint}")
    if not platforms:
        raise InputError(f"--platforms: name at least one of {', '.join(PLATFORMS)}")
    if weights not in ("inside", "separate"):
        hint = nearest(weights, ["inside", "separate"])
        raise InputError(f"--weights {weights}: choose inside or separate{hint}")
    if weights == "separate" and not _has_safetensors():
        raise InputError(
            '--weights separate needs the package safetensors: pip install "nnxtrain[safetensors]"'
        )
    if batch is not None and batch < 1:
        raise InputError(f"batch={batch}: a batch has at least 1 example")


def _has_safetensors() -> bool:
    return importlib.util.find_spec("safetensors") is not None


def _examples(splits: Splits, batch: int | None) -> Batch:
    """Some of the validation split; of the train split if that is empty."""
    source = splits.validation if len(splits.validation) else splits.train
    count = batch or min(EXAMPLES, len(source))
    return source.batch(np.arange(count) % len(source))


def _metrics(directory: RunDirectory, step: int) -> dict[str, dict[str, Any]]:
    """What was measured of this checkpoint, by split; what is not finite is None."""
    path = directory.metrics_path
    return {
        record["split"]: finite(dict(metrics_of(record)))
        for record in (read_metrics(path) if path.exists() else [])
        if record["step"] == step and record.get("split") in ("val", "test")
    }


def _described(program: Program) -> dict[str, Any]:
    (answer,) = program.exported.out_avals
    return {
        "file": PROGRAM,
        "calling_convention": program.exported.calling_convention_version,
        "platforms": list(program.exported.platforms),
        "weights": "separate" if program.separate else "inside",
        "inputs": [
            {"name": name, **_type(kind)} for name, kind in zip(program.inputs, program.input_types)
        ],
        "output": {"name": program.output, **_type(answer)},
    }


def _type(array: Any) -> dict[str, Any]:
    """Shape and dtype; a symbol stands for a size that is free."""
    shape = [size if isinstance(size, int) else str(size) for size in array.shape]
    return {"shape": shape, "dtype": str(array.dtype)}


def _meanings(spec: Spec) -> dict[str, Any]:
    """What the numbers stand for."""
    tokenizer: Any = spec.tokenizer
    is_plain = dataclasses.is_dataclass(tokenizer) and not isinstance(tokenizer, type)
    held = dataclasses.asdict(tokenizer) if is_plain else {}
    return {
        "class_names": list(spec.class_names),
        "target_names": list(spec.target_names),
        "vocab_size": spec.vocab_size,
        "tokenizer": tokenizer and {"kind": type(tokenizer).__name__, **held},
    }


def _digest(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}
