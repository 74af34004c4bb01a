"""Compiled programs are kept on the disk, so that the next run of the same model starts at once."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

MAX_BYTES = 2 * 2**30  # the entries not used for the longest time go first


def keep_compiled_programs(environment: MutableMapping[str, str]) -> None:
    """Set what JAX reads when it is imported, where the user has not.

    ``$NNXTRAIN_COMPILE_CACHE`` is a folder, or ``off``; by default ``~/.cache/nnxtrain/compiled``.

    >>> environment = {"NNXTRAIN_COMPILE_CACHE": "/tmp/cache"}
    >>> keep_compiled_programs(environment)
    >>> environment["JAX_COMPILATION_CACHE_DIR"]
    '/tmp/cache'
    """
    chosen = environment.get("NNXTRAIN_COMPILE_CACHE")
    if chosen == "off" or "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    base = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(chosen or base, *() if chosen else ("nnxtrain", "compiled")).absolute()
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MAX_BYTES))
    # Below that, reading costs about what compiling does.
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
