"""TensorBoard, without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.loggers.logger import Line, needs


class TensorBoard:
    """Writes event files to ``tensorboard`` in the run's directory, for ``tensorboard --logdir runs``.

    A resumed run adds a file, which tells TensorBoard to forget those before and repeats what still stands.

    Args:
      flush_every: seconds between writes to the disk.
    """

    def __init__(self, flush_every: float = 10.0):
        needs("tensorboardX", "tensorboard")
        self.flush_every = flush_every

    def open(self, directory: Path, config: dict[str, Any], history: Sequence[Line]) -> None:
        from tensorboardX import SummaryWriter

        folder = directory / "tensorboard"
        earlier = len(list(folder.glob("events.*")))
        self._writer = SummaryWriter(
            str(folder),
            purge_step=0 if earlier else None,
            flush_secs=self.flush_every,
            filename_suffix=f".{earlier}",  # else two of one second have one name
        )
        text = json.dumps(config, indent=1, default=str)
        self._writer.add_text("config", "\n".join("    " + line for line in text.splitlines()))
        for line in history:
            self.log(line)

    def log(self, line: Line) -> None:
        for name, value in {**line.tagged(), "epoch": line.epoch}.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, line.step, walltime=line.time)

    def close(self, status: str) -> None:
        self._writer.close()
