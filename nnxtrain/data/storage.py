"""Where data lies on disk, and how several processes share it.

Under the data directory: ``prepared/`` (as tensorflow-datasets lays it out), ``unverified/`` (the
same, for archives that are not the published ones), ``downloads/``, ``decoded/`` (arrays),
``statistics/`` and ``locks/``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from nnxtrain.errors import InputError


def data_directory(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the data directory: ``given``, or ``$NNXTRAIN_DATA_DIR``, or nnxtrain's cache folder.

    The cache folder is ``$XDG_CACHE_HOME/nnxtrain``, by default ``~/.cache/nnxtrain``. Nothing is
    made.
    """
    chosen = given or os.environ.get("NNXTRAIN_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    # The XDG specification says that a relative path there is to be ignored.
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "nnxtrain"


def make_directory(path: Path) -> Path:
    """Make ``path`` and its parents.

    Raises:
      InputError: It cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if os.access(path, os.W_OK):
            return path
        reason = "no permission to write"
    raise InputError(
        f"cannot keep data in {path}: {reason}; choose another folder with data.data_dir=DIR "
        "or NNXTRAIN_DATA_DIR"
    )


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Hold the lock ``name`` of the data directory ``root``; wait for it where another has it.

    The kernel frees the lock of a process that dies.
    """
    path = make_directory(root / "locks") / f"{name}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill, and put it in place of ``target`` when the block ends well.

    Readers see the old folder, none, or the whole new one, never a part. Hold a lock meanwhile.
    """
    make_directory(target.parent)
    for stale in target.parent.glob(f".{target.name}.*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    fresh = target.parent / f".{target.name}.{uuid4().hex}"
    fresh.mkdir()
    try:
        yield fresh
        if target.exists():
            target.rename(target.parent / f".{target.name}.old")
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(target.parent / f".{target.name}.old", ignore_errors=True)
