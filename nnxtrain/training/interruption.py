"""Signals ask the loop to stop after the step under way, so that it can save: Ctrl-C, and a scheduler's."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from nnxtrain.errors import Interrupted, Preempted
from nnxtrain.parallel.agreement import AnyOf

# Slurm ends jobs by SIGTERM, and sends before it what `--signal` says; submitit takes SIGUSR2.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interruption:
    """Notes a request to stop. The first signal asks; a second Ctrl-C raises KeyboardInterrupt at once.

    Signals can only be handled in the main thread; elsewhere nothing is installed. Earlier handlers come back at exit, and
    the one for a signal that came is called then, if it is a program's own: submitit's checkpoints and requeues its job.

    Attributes:
      requested: the name of the first signal, None before it.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._noted: signal.Signals | None = None
        self._anyone = AnyOf()
        self._earlier: dict[int, Any] = {}

    def error(self, text: str) -> Interrupted:
        """Return what to raise when all is saved: a Preempted unless it was Ctrl-C."""
        kind = Interrupted if self.requested == "SIGINT" else Preempted
        return kind(f"stopped by {self.requested} {text}")

    def stops(self) -> bool:
        """Whether to stop, on which the processes of a program agree: each asks as often as the others, once a batch."""
        if self._anyone(self.requested):
            self.requested = self.requested or "a signal to another process"
            return True
        return False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._earlier[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        if self._noted is not None:
            earlier = self._earlier[self._noted]
            if callable(earlier) and earlier is not signal.default_int_handler:
                signal.raise_signal(self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested is not None:
            raise KeyboardInterrupt
        self._noted = self._noted or signal.Signals(number)
        self.requested = self.requested or self._noted.name
