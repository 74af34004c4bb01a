"""What is known of a trial: the values it was given, and each attempt at running it."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from nnxtrain.storage.atomic_write import atomic_write
from nnxtrain.storage.process_id import born

Outcome: TypeAlias = Literal["finished", "pruned", "failed", "stopped"]


@dataclass
class Attempt:
    """One process that ran a trial. Times are in seconds of the epoch; without ``outcome`` it runs, or was killed."""

    started: float
    host: str
    pid: int
    born: str | None
    ended: float | None = None
    outcome: Outcome | None = None
    error: str | None = None

    @classmethod
    def begin(cls) -> Attempt:
        """Return the attempt that this process makes, now."""
        return cls(time.time(), socket.gethostname(), os.getpid(), born(os.getpid()))

    @property
    def is_here(self) -> bool:
        """Whether it ran, or runs, on this host."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether its process is there; only to be asked on its host."""
        return self.outcome is None and self.born is not None and born(self.pid) == self.born


@dataclass
class Record:
    """A trial's overrides, None before it has been given any, and its attempts in the order of time."""

    overrides: list[str] | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def last(self) -> Attempt | None:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else None

    @classmethod
    def read(cls, path: Path) -> Record:
        """Return the record in a file; an empty one if there is no such file."""
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        return cls(content["overrides"], [Attempt(**item) for item in content["attempts"]])

    def write(self, path: Path) -> None:
        """Replace a file."""
        atomic_write(path, json.dumps(asdict(self), indent=1).encode() + b"\n")
