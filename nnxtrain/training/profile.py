"""A trace of some steps by ``jax.profiler``, for TensorBoard's profile page, XProf or Perfetto."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax


class Profile:
    """Traces the calls that make the steps ``first`` to ``last``; use it in ``with``.

    Args:
      directory: where the trace goes.
      window: ``[first, last]``; None: nothing is traced.
      say: is told where the trace lies.
    """

    def __init__(
        self, directory: Path, window: Sequence[int] | None, say: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self.window = window
        self.say = say
        self.running = False

    def before(self, step: int, count: int) -> None:
        """``count`` steps come after ``step``."""
        if self.window and not self.running and step < self.window[0] <= step + count:
            jax.profiler.start_trace(self.directory)
            self.running = True

    def after(self, step: int, result: Any) -> None:
        """``step`` is made; ``result`` is an array that its call gives."""
        if self.window and self.running and step >= self.window[1]:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """End the trace."""
        if self.running:
            self.running = False
            jax.profiler.stop_trace()
            self.say(f"profile: {self.directory}")

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
