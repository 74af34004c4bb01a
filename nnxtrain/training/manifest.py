"""What a finished checkpoint consists of, to the bit.

Array formats restore most flipped bits without a word, and a directory with the right name proves
nothing. ``manifest.json``, written last, lists every file with its size and SHA-256, so that
:func:`verify` can tell a complete checkpoint from a half-written, half-deleted or damaged one. It
covers itself too: its last field is the digest of all the others, and the file has to be, byte for
byte, what writing its content again would give.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnxtrain.training.atomic_write import atomic_write, sync_directory

MANIFEST = "manifest.json"
FORMAT = 1


class IncompleteError(Exception):
    """The directory is no complete checkpoint; the message says why, in a few words."""


class UnknownFormatError(IncompleteError):
    """The manifest is sound, and was written by another version of nnxtrain."""


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
    files = {name: _digest(directory / name, sync=True) for name in _list_files(directory)}
    for parent, _, _ in os.walk(directory):
        sync_directory(Path(parent))
    manifest = Manifest(step=step, score=score, info=info, arrays=arrays, files=files)
    atomic_write(directory / MANIFEST, _encode(asdict(manifest)))
    return manifest


def verify(directory: Path, *, contents: bool = True) -> Manifest:
    """Return the manifest of a complete checkpoint; raise :class:`IncompleteError` for any other.

    With ``contents`` every file is read and its SHA-256 compared. Without, only the manifest is
    read and the names and sizes of the files are looked at.
    """
    try:
        manifest = _read(directory)
        _compare_files(directory, manifest, contents)
    except OSError as error:
        raise IncompleteError(f"it cannot be read: {error.strerror or error}") from error
    return manifest


def _read(directory: Path) -> Manifest:
    if not directory.is_dir():
        raise IncompleteError("it is not a directory")
    try:
        data = (directory / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise IncompleteError("it has no manifest") from None
    try:
        content = json.loads(data)
        if data != _encode(content):
            raise ValueError("not what its content gives when written")
        if content.pop("format") != FORMAT:
            raise UnknownFormatError("it was written by a newer nnxtrain")
        del content["sha256"]
        content["arrays"] = {k: (dtype, tuple(s)) for k, (dtype, s) in content["arrays"].items()}
        content["files"] = {k: (size, digest) for k, (size, digest) in content["files"].items()}
        manifest = Manifest(**content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise IncompleteError("its manifest is damaged") from None
    if str(manifest.step) != directory.name:
        raise IncompleteError(f"its manifest is of step {manifest.step}")
    return manifest


def _compare_files(directory: Path, manifest: Manifest, contents: bool) -> None:
    present = set(_list_files(directory))
    if missing := manifest.files.keys() - present:
        raise IncompleteError(f"{min(missing)} is missing")
    if strange := present - manifest.files.keys():
        raise IncompleteError(f"{min(strange)} is not part of it")
    for name, (size, digest) in manifest.files.items():
        actual = (directory / name).stat().st_size
        if actual != size:
            raise IncompleteError(f"{name} has {actual} bytes instead of {size}")
        if contents and _digest(directory / name)[1] != digest:
            raise IncompleteError(f"{name} is damaged")


def _encode(content: dict[str, Any]) -> bytes:
    content = {key: value for key, value in content.items() if key != "sha256"}
    body = json.dumps(content, indent=1, sort_keys=True)
    content["sha256"] = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def _list_files(directory: Path) -> list[str]:
    """All files below a directory but the manifest itself and hidden ones (``.DS_Store``)."""
    names = []
    for parent, _, files in os.walk(directory):
        relative = Path(parent).relative_to(directory)
        names += [(relative / file).as_posix() for file in files if not file.startswith(".")]
    return sorted(name for name in names if name != MANIFEST)


def _digest(path: Path, *, sync: bool = False) -> tuple[int, str]:
    with open(path, "rb") as file:
        if sync:
            os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
