"""What a run says while it works: a bar on a terminal, timed lines anywhere else.

Whether there is a terminal is asked of the stream itself: settings that make libraries colour their
output into pipes (``FORCE_COLOR``, ``TTY_COMPATIBLE``) do not make a bar run through a log file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

RATES = ("tokens_per_second", "examples_per_second")  # the first one that there is, is shown
MUCH_WAITING = 0.05  # of the time for data: from here on it is shown

Metrics = Mapping[str, Any]


class Progress:
    """What the training loop talks to. This one shows nothing; the others show it their way.

    Steps are counted from the run's beginning, so a resumed run begins at ``start_step``.
    Everything may be called at any time and in any order, also after :meth:`close`, but only from
    one thread. It is a context manager.
    """

    def start(
        self, total_steps: int, start_step: int = 0, steps_per_epoch: float | None = None
    ) -> None:
        """Training goes from ``start_step`` to ``total_steps``."""

    def update(self, step: int, metrics: Metrics | None = None) -> None:
        """``step`` updates are done; without ``metrics`` the last ones stay in view.

        ``tokens_per_second`` among the metrics, else ``examples_per_second``, is shown as the rate; ``data_wait`` only
        where it is much, the first time with what can be done.
        """

    def evaluation(self, split: str, step: int, metrics: Metrics) -> None:
        """An evaluation on ``split`` gave these metrics. Always shown."""

    def message(self, text: str) -> None:
        """Show a line of text. Always shown."""

    def close(self) -> None:
        """Leave the screen as it should stay."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_progress(stream: TextIO | None = None, *, unit: str = "images") -> Progress:
    """Return a bar for a terminal that can show one, and timed lines for everything else.

    ``stream`` is standard output by default; ``unit`` is what an example is called in a rate.
    """
    stream = stream or sys.stdout
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from nnxtrain.training.progress_bar import BarProgress  # rich: 0.1 s

        return BarProgress(stream, unit=unit)
    return LineProgress(stream, unit=unit)


class LineProgress(Progress):
    """Timed lines: of the updates one every ``every`` seconds at most, and of the rest each.

    >>> import io
    >>> stream = io.StringIO()
    >>> progress = LineProgress(stream)
    >>> progress.start(1720, steps_per_epoch=172)
    >>> progress.update(400, {"loss": 0.4123, "examples_per_second": 9812})
    >>> stream.getvalue()[9:]  # after the time of day
    'step 400/1720 (epoch 2.3) loss 0.412 9.8k images/s\\n'
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        unit: str = "images",
        every: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream, self._unit, self._every, self._clock = stream, unit, every, clock
        self._state = State()
        self._next_line = 0.0

    def start(
        self, total_steps: int, start_step: int = 0, steps_per_epoch: float | None = None
    ) -> None:
        self._state = State(total_steps, start_step, steps_per_epoch)
        self._next_line = 0.0

    def update(self, step: int, metrics: Metrics | None = None) -> None:
        now = self._clock()
        state = self._state
        if hint := state.update(now, step, metrics):
            self.message(hint)
        if now >= self._next_line or step == state.total:
            self._next_line = now + self._every
            parts = [state.step_text(), *state.metric_texts(), state.rate_text(self._unit)]
            self._write(" ".join(filter(None, [*parts, state.eta_text(now)])))

    def evaluation(self, split: str, step: int, metrics: Metrics) -> None:
        self._write(self._state.evaluation_text(split, step, metrics))

    def message(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str) -> None:
        # A closed pipe or a full disk under a log is no reason to lose the training.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(printable(f"{clock_text(self._clock())} {text}\n", self._stream))
            self._stream.flush()


class State:
    """How far training is, how fast it goes, and the words for it."""

    def __init__(self, total: int = 0, step: int = 0, steps_per_epoch: float | None = None) -> None:
        self.total, self.step, self.steps_per_epoch = total, step, steps_per_epoch
        self.metrics: dict[str, Any] = {}
        # The pace is that of the last updates; the first step, with its compilation, is no measure.
        self._seen: deque[tuple[float, int]] = deque(maxlen=50)
        self._hinted = False

    def update(self, now: float, step: int, metrics: Metrics | None) -> str | None:
        """Take note, and return what to tell the user, if there is something."""
        self.step = step
        self._seen.append((now, step))
        if metrics is not None:
            self.metrics = dict(metrics)
        wait = self.metrics.get("data_wait", 0.0)
        if self._hinted or wait <= MUCH_WAITING:
            return None
        self._hinted = True
        return (
            f"{wait:.0%} of the time goes into waiting for data: trainer.placement=device keeps arrays on the device; more "
            "in docs/training.md, 'Waiting for data'"
        )

    def step_text(self, step: int | None = None) -> str:
        step = self.step if step is None else step
        epoch = self.epoch_text(step)
        return f"step {step}/{self.total}" + (f" ({epoch})" if epoch else "")

    def epoch_text(self, step: int) -> str:
        return f"epoch {step / self.steps_per_epoch:.1f}" if self.steps_per_epoch else ""

    def metric_texts(self) -> list[str]:
        return _metric_texts(self.metrics)

    def rate_text(self, unit: str) -> str:
        for name, what in zip(RATES, ("tokens", unit)):
            if name in self.metrics:
                return f"{_short_number(float(self.metrics[name]))} {what}/s"
        return ""

    def eta_text(self, now: float) -> str:
        if len(self._seen) < 2 or self.step >= self.total:
            return ""
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        if end <= start or last <= first:
            return ""
        left = (self.total - last) * (end - start) / (last - first) - (now - end)
        seconds = max(0, round(left))
        return f"eta {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def evaluation_text(self, split: str, step: int, metrics: Metrics) -> str:
        return " ".join([self.step_text(step), split, *_metric_texts(metrics)])


def clock_text(now: float) -> str:
    """The local time of day, ``12:03:10``."""
    return time.strftime("%H:%M:%S", time.localtime(now))


def printable(text: str, stream: TextIO) -> str:
    """Return ``text`` with what the stream's encoding does not have as question marks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def format_metric(value: Any) -> str:
    """Return a number in few characters, text as it is.

    >>> [format_metric(x) for x in (0.41234, 12, 1e-5, 0.0, 123456.7, float("nan"), "adam")]
    ['0.412', '12', '1.00e-05', '0.000', '1.23e+05', 'nan', 'adam']
    """
    if isinstance(value, str | int):
        return str(value)
    number = float(value)
    plain = number == 0 or 1e-3 <= abs(number) < 1e4
    return f"{number:.3f}" if plain else f"{number:.2e}" if number == number else "nan"


def _metric_texts(metrics: Metrics) -> list[str]:
    shown = {k: value for k, value in metrics.items() if k not in (*RATES, "data_wait")}
    texts = [f"{name} {format_metric(value)}" for name, value in shown.items()]
    if metrics.get("data_wait", 0.0) > MUCH_WAITING:
        texts.append(f"waiting for data {metrics['data_wait']:.0%}")
    return texts


def _short_number(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.1f}{letter}"
    return f"{number:.1f}"
