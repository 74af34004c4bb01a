"""``write_report``: from run directories to the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnxtrain.errors import InputError, RunError
from nnxtrain.report.page import Subject, page
from nnxtrain.storage.atomic_write import atomic_write
from nnxtrain.training.run_directory import RunDirectory
from nnxtrain.training.run_summary import summarize


def write_report(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    model: bool = True,
    overwrite: bool = False,
    packages: Sequence[str] = (),
) -> Path:
    """Write a report on runs and return its path.

    Args:
      runs: run directories.
      out: the file; by default ``report.html``, in the run's directory if there is one run.
      split, checkpoint: what each model is looked at with.
      model: False makes the report from files alone: no confusion matrix, no mistakes. So is it of a run that has no
        checkpoint yet, or failed before its first.
      overwrite: whether a file may be replaced.
      packages: packages of the user that the runs' ``_target_`` may name.

    Raises:
      InputError: no such run or checkpoint; a file that would be overwritten.
      RunError: the file cannot be written.
    """
    directories = [RunDirectory.open(run) for run in dict.fromkeys(map(Path, runs))]
    path = (
        Path(out)
        if out
        else (directories[0].path if len(directories) == 1 else Path()) / "report.html"
    )
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists; add --force to replace it, or choose another file with out=FILE"
        )
    if not path.parent.is_dir():
        raise InputError(f"out={path}: the folder {path.parent} does not exist")
    subjects = []
    for directory in directories:
        examination = None
        if model and directory.has_checkpoint:
            from nnxtrain.report.examine import examine  # jax

            examination = examine(
                directory.path, split=split, checkpoint=checkpoint, packages=packages
            )
        subjects.append(Subject(summarize(directory), examination))
    try:
        atomic_write(path, page(subjects).encode())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    return path
