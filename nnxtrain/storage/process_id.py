"""Telling a process from a later one that was given the same number."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def born(pid: object) -> str | None:
    """Return what tells a process of this host from a later one of the same id; None if there is no such process."""
    if not isinstance(pid, int):
        return None
    with contextlib.suppress(OSError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]  # a zombie only waits for its parent to notice
    try:  # macOS has no /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"
