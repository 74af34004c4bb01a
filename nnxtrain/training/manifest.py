"""What a finished checkpoint consists of: the manifest of its directory (:mod:`nnxtrain.storage.manifest`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.storage import manifest as storage
from nnxtrain.storage.manifest import MANIFEST, IncompleteError, UnknownFormatError

__all__ = ["MANIFEST", "IncompleteError", "Manifest", "UnknownFormatError", "verify", "write_manifest"]  # fmt: skip

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    ``arrays`` maps an array's path to its dtype name and shape, ``files`` a file's path, relative
    to the checkpoint, to its size in bytes and hexadecimal SHA-256.
    """

    step: int
    score: float | None
    info: dict[str, Any]
    arrays: dict[str, tuple[str, tuple[int, ...]]]
    files: dict[str, tuple[int, str]]
    format: int = FORMAT


def write_manifest(
    directory: Path,
    *,
    step: int,
    score: float | None,
    info: dict[str, Any],
    arrays: dict[str, tuple[str, tuple[int, ...]]],
) -> Manifest:
    """Hash and sync every file under ``directory``, then write its manifest.

    ``info`` may hold NaN and infinities, which go into the file as Python writes them.
    """
    content = {"step": step, "score": score, "info": info, "arrays": arrays}
    return Manifest(**storage.write_manifest(directory, content, format=FORMAT))


def verify(directory: Path, *, contents: bool = True) -> Manifest:
    """Return the manifest of a complete checkpoint; raise :class:`IncompleteError` for any other.

    With ``contents`` every file is read and its SHA-256 compared. Without, only the manifest is
    read and the names and sizes of the files are looked at.
    """
    content = storage.read_manifest(directory, format=FORMAT, contents=contents)
    try:
        content["arrays"] = {k: (dtype, tuple(s)) for k, (dtype, s) in content["arrays"].items()}
        manifest = Manifest(**content)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise IncompleteError("its manifest is damaged") from None
    if str(manifest.step) != directory.name:
        raise IncompleteError(f"its manifest is of step {manifest.step}")
    return manifest
