"""``write_report``: from a sweep's directory to the file."""

from __future__ import annotations

from pathlib import Path

from nnxtrain.errors import InputError, RunError
from nnxtrain.storage.atomic_write import atomic_write
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.report.page import page
from nnxtrain.sweep.results import results_of


def write_report(
    sweep: SweepDirectory, out: str | Path | None = None, *, overwrite: bool = False
) -> Path:
    """Write a report on a sweep as it stands, and return its path: ``out``, or ``report.html`` in the sweep's directory.

    Raises:
      InputError: a file that would be overwritten, a folder that is not there.
      RunError: the file cannot be written.
    """
    path = Path(out) if out else sweep.path / "report.html"
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists; add --force to replace it, or choose another file with out=FILE"
        )
    if not path.parent.is_dir():
        raise InputError(f"out={path}: the folder {path.parent} does not exist")
    try:
        atomic_write(path, page(sweep, results_of(sweep)).encode())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    return path
