"""The files that a data set is made from, where they are on this machine already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnxtrain.data.gzip_header import with_published_header
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A file as its publisher offers it."""

    url: str
    file_name: str
    sha256: str


@dataclass(frozen=True)
class LocalFile:
    """A copy of an archive on this machine; ``path`` is where it was found."""

    archive: Archive
    path: Path
    size: int
    sha256: str

    @property
    def is_published(self) -> bool:
        return self.sha256 == self.archive.sha256


def gather(archives: Iterable[Archive], folders: Iterable[Path], staging: Path) -> list[LocalFile]:
    """Look for each archive in ``folders``, in that order, and make it available in ``staging``.

    What is found is linked there under its published name; a file that only lost its published gzip
    header is written there with the header put back.

    Raises:
      InputError: A file is there but cannot be read.
    """
    folders = list(folders)
    found = []
    for archive in archives:
        candidates = (folder / archive.file_name for folder in folders)
        path = next((p for p in candidates if p.is_file()), None)
        if path is not None:
            try:
                found.append(_stage(archive, path, staging / archive.file_name))
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror}") from error
    return found


def _stage(archive: Archive, path: Path, staged: Path) -> LocalFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != archive.sha256:
        restored = with_published_header(path.read_bytes(), archive.file_name)
        if restored and hashlib.sha256(restored).hexdigest() == archive.sha256:
            staged.write_bytes(restored)
            return LocalFile(archive, path, len(restored), archive.sha256)
    staged.symlink_to(path.absolute())
    return LocalFile(archive, path, path.stat().st_size, sha256)
