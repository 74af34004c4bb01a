"""Ctrl-C and SIGTERM ask the loop to stop after the step under way, so that it can save."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Notes a request to stop. The first signal asks; a second Ctrl-C raises KeyboardInterrupt at once.

    Signals can only be handled in the main thread; elsewhere nothing is installed. Earlier handlers come back at exit.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
