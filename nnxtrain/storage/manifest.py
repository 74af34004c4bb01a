"""What a finished directory consists of, to the bit.

Array formats restore most flipped bits without a word, and a directory with the right name proves
nothing. ``manifest.json``, written last, lists every file with its size and SHA-256, so that
:func:`read_manifest` can tell a complete directory from a half-written, half-deleted or damaged one.
It covers itself too: its last field is the digest of all the others, and the file has to be, byte
for byte, what writing its content again would give.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnxtrain.storage.atomic_write import atomic_write, sync_directory

MANIFEST = "manifest.json"


class IncompleteError(Exception):
    """The directory is not complete; the message says why, in a few words."""


class UnknownFormatError(IncompleteError):
    """The manifest is sound, and was written by another version of nnxtrain."""


def write_manifest(directory: Path, content: Mapping[str, Any], *, format: int) -> dict[str, Any]:
    """Hash and sync every file under ``directory``, then write ``content`` and them as its manifest.

    Returns what :func:`read_manifest` will return. ``content`` is what JSON can hold; NaN and
    infinities go into the file as Python writes them. ``format`` is the version of its meaning.
    """
    files = {name: _digest(directory / name, sync=True) for name in _list_files(directory)}
    for parent, _, _ in os.walk(directory):
        sync_directory(Path(parent))
    full = {**content, "files": files, "format": format}
    atomic_write(directory / MANIFEST, _encode(full))
    return full


def read_manifest(directory: Path, *, format: int, contents: bool = True) -> dict[str, Any]:
    """Return the manifest of a complete directory; raise :class:`IncompleteError` for any other.

    Raises :class:`UnknownFormatError` for another version than ``format``.

    With ``contents`` every file is read and its SHA-256 compared. Without, only the manifest is
    read and the names and sizes of the files are looked at.
    """
    try:
        manifest = _read(directory, format)
        _compare_files(directory, manifest["files"], contents)
    except OSError as error:
        raise IncompleteError(f"it cannot be read: {error.strerror or error}") from error
    return manifest


def _read(directory: Path, format: int) -> dict[str, Any]:
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
        if content["format"] != format:
            raise UnknownFormatError("it was written by a newer nnxtrain")
        del content["sha256"]
        content["files"] = {k: (size, digest) for k, (size, digest) in content["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise IncompleteError("its manifest is damaged") from None
    return content


def _compare_files(directory: Path, files: Mapping[str, tuple[int, str]], contents: bool) -> None:
    present = set(_list_files(directory))
    if missing := files.keys() - present:
        raise IncompleteError(f"{min(missing)} is missing")
    if strange := present - files.keys():
        raise IncompleteError(f"{min(strange)} is not part of it")
    for name, (size, digest) in files.items():
        actual = (directory / name).stat().st_size
        if actual != size:
            raise IncompleteError(f"{name} has {actual} bytes instead of {size}")
        if contents and _digest(directory / name)[1] != digest:
            raise IncompleteError(f"{name} is damaged")


def _encode(content: Mapping[str, Any]) -> bytes:
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
