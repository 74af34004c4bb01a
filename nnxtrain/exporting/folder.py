"""An export's folder: built under a hidden name, and renamed when it is whole."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError, RunError
from nnxtrain.storage.atomic_write import sync_directory

DESCRIPTION = "model.json"
FORMAT = 1  # of the description


def check_free(folder: Path, *, replace: bool) -> None:
    """Raise InputError where an export would hide or replace something that it may not."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"out={folder} is a file; choose a folder")
    if not any(folder.iterdir()):
        return
    if not _is_export(folder):
        raise InputError(
            f"out={folder} holds something else than an export; choose another folder with out=DIR"
        )
    if not replace:
        raise InputError(f"out={folder} exists already; --force replaces it")


@contextlib.contextmanager
def published(folder: Path, *, replace: bool) -> Iterator[Path]:
    """A hidden folder beside ``folder``, which becomes it when the with block ends well, and goes when it does not.

    Raises:
      InputError: see :func:`check_free`.
      RunError: it cannot be written.
    """
    check_free(folder, replace=replace)
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        building.mkdir(parents=True)
        yield building
        sync_directory(building)
        check_free(folder, replace=replace)
        if folder.exists():
            replaced = building.with_name(f"{building.name}.old")
            folder.rename(replaced)
            try:
                building.rename(folder)
            except OSError:
                replaced.rename(folder)
                raise
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            building.rename(folder)
        sync_directory(folder.parent)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def read_description(folder: Path) -> dict[str, Any]:
    """Return what ``model.json`` says; ``{}`` where there is none that can be read."""
    try:
        content = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_export(folder: Path) -> bool:
    return {"format", "program", "files"} <= read_description(folder).keys()
