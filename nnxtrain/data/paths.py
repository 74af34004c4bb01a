"""Files that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnxtrain.errors import InputError, nearest

Files = str | Sequence[str]


def existing_file(file: str | Path, key: str) -> Path:
    """Return the path of a file that is there; ``~`` is the home directory.

    Raises:
      InputError: There is none; the message begins with ``key``, the setting's name.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise InputError(f"{key}: {path} is a folder; name a file in it")
    if not path.is_file():
        raise InputError(f"{key}: there is no file {path}{nearest_sibling(path)}")
    return path


def existing_files(files: Files, key: str) -> list[Path]:
    """Return the paths of a file or a list of files, none of them empty."""
    paths = [existing_file(file, key) for file in ([files] if isinstance(files, str) else files)]
    if not paths:
        raise InputError(f"{key} names no file; give {key}=FILE or '{key}=[FILE,FILE]'")
    for path in paths:
        if not path.stat().st_size:
            raise InputError(f"{key}: {path} is empty")
    return paths


def nearest_sibling(path: Path) -> str:
    """Return ``"; did you mean 'x'?"`` for what is called nearly so in the same folder, or ``""``.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "digits.npz").touch()
    >>> nearest_sibling(folder / "digit.npz")
    "; did you mean 'digits.npz'?"
    """
    try:
        there = [sibling.name for sibling in path.parent.iterdir()]
    except OSError:
        return ""
    return nearest(path.name, there)
