"""One process at a time works on a run; a dead one's lock is free at once.

The lock is ``flock``'s, which the kernel drops when its process ends, however it ends. The lock
file says who holds it, for the message only. Where the file system has no ``flock`` (some network
mounts), the file itself is the lock: it holds while its process lives, and for a process of
another host, of which that cannot be known, until it is removed by hand.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import weakref
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from nnxtrain.errors import InputError, RunError
from nnxtrain.storage.process_id import born

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def run_lock(path: Path, name: str) -> Iterator[None]:
    """Hold the lock file ``path`` of the run called ``name`` for the length of a with block.

    Raises ``InputError`` if another process, or another block of this one, holds it, naming its
    process id, host and start; ``RunError`` if the lock file cannot be written.
    """
    try:
        file = open(path, "a+")  # noqa: SIM115 (until the block ends)
    except OSError as error:
        raise RunError(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        _close_in_forks(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(_in_use(name, _read_owner(file))) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise RunError(f"{path} cannot be locked: {error.strerror}") from error
            owner = _read_owner(file)
            if _may_live(owner):
                raise InputError(f"{_in_use(name, owner)} (or remove {path})") from None
        _write_owner(file)
        try:
            yield
        finally:
            if not file.closed:  # as it is in a forked child
                file.truncate(0)


def may_be_held(path: Path) -> bool:
    """Whether a process may be at work under the lock file ``path``: without taking the lock, by who says to hold it.

    Of a process on another host that cannot be known, and is taken to be so.
    """
    try:
        with open(path) as file:
            owner = _read_owner(file)
    except OSError:
        return False
    return _may_live(owner)


def _write_owner(file: IO[str]) -> None:
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        "born": born(os.getpid()),
    }
    file.truncate(0)
    file.write(json.dumps(owner))
    file.flush()


def _read_owner(file: IO[str]) -> dict[str, object]:
    file.seek(0)
    try:
        owner = json.load(file)
    except ValueError:  # caught in the moment between locking and writing, or released
        owner = None
    return owner if isinstance(owner, dict) else {}


def _in_use(name: str, owner: dict[str, object]) -> str:
    who = "another process"
    if owner:
        who = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
    return f"run {name} is in use by {who}; wait for it, or end it first"


def _may_live(owner: dict[str, object]) -> bool:
    """Whether the process that wrote this may still run."""
    if not owner or owner.get("host") != socket.gethostname():
        return bool(owner)
    now = born(owner.get("pid"))
    return now is not None and now == owner.get("born")


def _close_in_forks(file: IO[str]) -> None:
    """A forked child shares the lock, and would hold on to it when its parent is long dead."""
    reference = weakref.ref(file)

    def close() -> None:
        if (shared := reference()) is not None:
            shared.close()

    os.register_at_fork(after_in_child=close)
