"""The progress bar of a terminal: one line that fits, results above it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nnxtrain.training.progress import Metrics, Progress, State, clock_text, printable

MIN_BAR, MAX_BAR = 8, 40


class BarProgress(Progress):
    """A bar with step, epoch, metrics, rate and time left, of these what the width has room for.

    Evaluations and messages scroll by above it, and so does what others print meanwhile.
    """

    def __init__(self, stream: TextIO, *, unit: str = "images") -> None:
        self._stream, self._unit = stream, unit
        self._console = Console(file=stream, force_terminal=True, force_interactive=True)
        self._state = State()
        self._live: Live | None = None

    def start(
        self, total_steps: int, start_step: int = 0, steps_per_epoch: float | None = None
    ) -> None:
        self.close()
        self._state = State(total_steps, start_step, steps_per_epoch)
        self._live = Live(self, console=self._console, refresh_per_second=4)
        self._live.start()

    def update(self, step: int, metrics: Metrics | None = None) -> None:
        if hint := self._state.update(time.time(), step, metrics):
            self.message(hint)

    def evaluation(self, split: str, step: int, metrics: Metrics) -> None:
        self.message(self._state.evaluation_text(split, step, metrics))

    def message(self, text: str) -> None:
        line = printable(f"{clock_text(time.time())} {text}", self._stream)
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state = self._state
        metrics = state.metric_texts()
        # In the order of the line, each with its rank: the lowest go first where room is short.
        parts = [
            (4, state.epoch_text(state.step)),
            (0, f"{state.step}/{state.total}"),
            *((rank, text) for rank, text in zip([2, 3, *range(6, 100)], metrics)),
            (5, state.rate_text(self._unit)),
            (1, state.eta_text(time.time())),
        ]
        text = fit(parts, options.max_width - MIN_BAR)
        width = max(1, min(MAX_BAR, options.max_width - len(text) - 1))
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row(
            ProgressBar(total=max(state.total, 1), completed=state.step, width=width),
            Text(printable(text, self._stream), no_wrap=True, overflow="crop"),
        )
        yield row


def fit(parts: Iterable[tuple[int, str]], width: int) -> str:
    """Join the texts by spaces, in their order, taking those of the lowest rank that have room.

    >>> fit([(4, "epoch 2.3"), (0, "400/1720"), (2, "loss 0.412"), (1, "eta 0:01:10")], 31)
    '400/1720 loss 0.412 eta 0:01:10'
    """
    parts = [(rank, text) for rank, text in parts if text]
    taken: set[int] = set()
    for rank, text in sorted(parts):
        width -= len(text) + 1
        if width + 1 < 0:
            break
        taken.add(rank)
    return " ".join(text for rank, text in parts if rank in taken)
