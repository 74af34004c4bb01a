"""Bring a data set into tensorflow-datasets' prepared form, from local files or by downloading."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnxtrain.data.archives import Archive, LocalFile, gather
from nnxtrain.data.catalog import Entry
from nnxtrain.data.network import unreachable_host
from nnxtrain.data.storage import locked, make_directory
from nnxtrain.errors import InputError, NnxtrainError, RunError

_LOG = logging.getLogger(__name__)


def prepare(
    entry: Entry, variant: str, root: Path, local_dir: Path | None, verify_checksum: bool
) -> Any:
    """Return a builder whose set is prepared, preparing it first where need be.

    Files are looked for in ``local_dir``, then in ``root/downloads/<name>``; what is in neither is
    downloaded. Any number of processes may call this at once: one prepares, the others wait.

    Args:
      entry: The data set.
      variant: Its variant, ``""`` for none.
      root: The data directory.
      local_dir: A folder that may hold the set's files.
      verify_checksum: Whether files must be the published ones. Where not, a set made from other
        files is kept apart, in a folder that is named after their content.

    Raises:
      InputError: A file is missing and its host cannot be reached; a file is not the published one;
        a file is not in its format.
      RunError: The download broke off.
    """
    if local_dir is not None and not local_dir.is_dir():
        raise InputError(f"data.local_dir={local_dir} is not a folder")
    official = root / "prepared"
    if verify_checksum or local_dir is None:
        builder = _builder(entry, variant, official)
        if builder.is_prepared():
            return builder
    with locked(root, entry.name), _staging(root / "staging" / entry.name) as staging:
        # Made anew: another process may have prepared the set while this one waited.
        builder = _builder(entry, variant, official)
        downloads = make_directory(root / "downloads" / entry.name)
        archives = [
            Archive(url, info.filename, info.checksum) for url, info in builder.expected().items()
        ]
        folders = [downloads] if local_dir is None else [local_dir, downloads]
        local = gather(archives, folders, staging)
        if not all(file.is_published for file in local):
            _check_acceptable(entry, archives, local, local_dir, verify_checksum)
            builder = _builder(entry, variant, root / "unverified" / _content_name(local))
            builder.accepted = _url_infos(local)
        if not builder.is_prepared():
            here = {file.archive for file in local}
            missing = [a for a in archives if a not in here and not _downloaded(a, downloads)]
            _check_reachable(entry, missing, local_dir)
            _download_and_prepare(builder, entry, missing, staging, downloads, local_dir)
    return builder


def _builder(entry: Entry, variant: str, directory: Path) -> Any:
    return entry.builder_class()(
        data_dir=str(directory), config=variant or None, file_format="array_record"
    )


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """An empty folder for as long as the block runs; the set's lock is held."""
    shutil.rmtree(path, ignore_errors=True)
    make_directory(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _check_acceptable(
    entry: Entry,
    archives: list[Archive],
    local: list[LocalFile],
    local_dir: Path | None,
    verify_checksum: bool,
) -> None:
    wrong = next(file for file in local if not file.is_published)
    if verify_checksum:
        raise InputError(
            f"{wrong.path} is not the published file: its SHA-256 is {wrong.sha256}, expected "
            f"{wrong.archive.sha256}; fetch it again, or accept it with data.verify_checksum=false"
        )
    here = {file.archive for file in local}
    if missing := [a.file_name for a in archives if a not in here]:
        # Files of unknown origin are not mixed with published ones.
        raise InputError(
            f"{entry.name} from {wrong.path.parent} needs {', '.join(missing)} there too"
        )


def _content_name(local: list[LocalFile]) -> str:
    return hashlib.sha256("".join(file.sha256 for file in local).encode()).hexdigest()[:16]


def _url_infos(local: list[LocalFile]) -> dict[str, Any]:
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.utils import Size

    return {
        file.archive.url: UrlInfo(Size(file.size), file.sha256, file.archive.file_name)
        for file in local
    }


def _downloaded(archive: Archive, downloads: Path) -> bool:
    """Whether an earlier run downloaded the archive; the name is tensorflow-datasets'."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    name = get_dl_fname(archive.url, archive.sha256)
    return any(file.with_name(f"{name}.INFO").exists() for file in downloads.rglob(name))


def _check_reachable(entry: Entry, missing: list[Archive], local_dir: Path | None) -> None:
    if host := unreachable_host(archive.url for archive in missing):
        looked = f"{local_dir} does not hold all files, and " if local_dir else ""
        raise InputError(
            f"{entry.name} is not prepared: {looked}{host} cannot be reached; "
            f"{_remedy(entry, missing, local_dir)}"
        )


def _remedy(entry: Entry, missing: list[Archive], local_dir: Path | None) -> str:
    files = ", ".join(archive.file_name for archive in missing)
    folder = local_dir or "DIR"
    hint = f" ({entry.hint})" if entry.hint else ""
    return (
        f"put {files} into {'a folder DIR' if local_dir is None else folder} and run: "
        f"nnxtrain data prepare {entry.name} data.local_dir={folder}{hint}"
    )


def _download_and_prepare(
    builder: Any,
    entry: Entry,
    missing: list[Archive],
    staging: Path,
    downloads: Path,
    local_dir: Path | None,
) -> None:
    import tensorflow_datasets as tfds

    # Left by a process that was killed while it prepared this set.
    for stale in builder.data_path.parent.glob(f"incomplete.*_{builder.data_path.name}"):
        shutil.rmtree(stale, ignore_errors=True)
    _LOG.info("preparing %s in %s", entry.name, builder.data_dir)
    config = tfds.download.DownloadConfig(manual_dir=str(staging), try_download_gcs=False)
    try:
        builder.download_and_prepare(
            download_dir=str(downloads.parent),  # tensorflow-datasets adds the set's name
            download_config=config,
        )
    except NnxtrainError:
        raise
    except Exception as error:
        if not missing:
            raise RunError(f"preparing {entry.name} failed: {_one_line(error)}") from error
        raise RunError(
            f"downloading {entry.name} failed: {_one_line(error)}; "
            f"try again, or {_remedy(entry, missing, local_dir)}"
        ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Of NonMatchingChecksumError: "Artifact URL, downloaded to ..., has wrong checksum: ..."
    sums = re.search(r"Artifact (\S+),.*checksum='(\w+)'.*checksum='(\w+)'", text)
    if sums:
        url, expected, got = sums.groups()
        return f"{url} has the SHA-256 {got}, expected {expected}"
    return f"{type(error).__name__}: {text[:300]}"
