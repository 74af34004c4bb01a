"""``metrics.jsonl``: what a run measured, one JSON object a line, in the order it was measured.

A line is written once, whole, after every line before it, and never changed. So the length of the
file when a checkpoint was made, its *position*, separates what had been measured by then from what
a resumed run will measure again. The step would not do: a line of step s may come before the
checkpoint of s (the evaluation that gave its score) or after it. A checkpoint's info therefore
stores :meth:`MetricsLog.position`, and a resumed run starts with :meth:`MetricsLog.truncate` to it;
but for the clock fields, the file is then that of a run that was never interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from time import time as now
from types import TracebackType
from typing import Any

from nnxtrain.errors import InputError, RunError
from nnxtrain.storage.atomic_write import atomic_write

FIELDS = ("step", "epoch", "split", "time")


class MetricsLog:
    """Appends to a metrics file, which is made if it is not there; its last line, if torn, goes.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "metrics.jsonl"
    >>> with MetricsLog(path) as log:
    ...     _ = log.write(step=10, epoch=0.5, split="train", metrics={"loss": 0.25}, time=0.0)
    >>> path.read_text()
    '{"step": 10, "epoch": 0.5, "split": "train", "time": 0.0, "loss": 0.25}\\n'
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._open()

    def write(
        self,
        *,
        step: int,
        epoch: float,
        split: str,
        metrics: Mapping[str, Any],
        time: float | None = None,
    ) -> dict[str, Any]:
        """Append one line, hand it to the operating system at once, and return it as it will be read.

        Metrics are numbers (Python's, or numpy or jax scalars), booleans, strings or None. Floats
        are written so that reading gives the same float64. NaN and the infinities, which strict
        JSON does not have, become null. ``time`` is in seconds since 1970, now by default.

        Raises ``RunError`` if the line cannot be written (the disk is full); the file then ends
        with the line before it.
        """
        if clash := [name for name in FIELDS if name in metrics]:
            raise ValueError(f"a metric must not be called {clash[0]!r}")
        time = round(now(), 3) if time is None else time
        record = {"step": step, "epoch": epoch, "split": split, "time": time} | dict(metrics)
        record = {name: _plain(value) for name, value in record.items()}
        self._append(json.dumps(record, allow_nan=False).encode() + b"\n")
        return _read(record)

    def sync(self) -> None:
        """Force the file to the disk, so that it outlives a power cut."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror}") from error

    def position(self) -> int:
        """Return the length of the file in bytes, after :meth:`sync`: a checkpoint stores it."""
        self.sync()
        return self._end

    def truncate(self, position: int, *, step: int) -> bool:
        """Cut the file back to what it was when :meth:`position` returned ``position``.

        Where that cannot be, as no line up to and including ``step`` ends there (somebody edited or
        removed the file), all such lines stay instead, and the result is False. The new file
        replaces the old in one go.
        """
        data = self.path.read_bytes()
        kept = data[:position]
        exact = len(kept) == position and all(_step(x) <= step for x in _lines(kept)[-1:])
        if not exact:
            kept = b"".join(line for line in _lines(data) if _step(line) <= step)
        if kept != data:
            self.close()
            atomic_write(self.path, kept)
            self._open()
        return exact

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 (until close)
            self._file.seek(0)
            self._end = self._file.read().rfind(b"\n") + 1
            self._file.truncate(self._end)
        except OSError as error:
            raise RunError(f"{self.path} cannot be opened: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)  # no half line before a later one
            raise RunError(f"{self.path} cannot be written: {error.strerror}") from error
        self._end += len(line)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a metrics file as dicts; null metrics as NaN.

    A last line without its end, the mark of a killed writer, is left out. Raises ``InputError`` for
    a file that is not there and for any other line that is no JSON object.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    lines = data.split(b"\n")[:-1]
    with contextlib.suppress(
        ValueError
    ):  # all at once, as it mostly can be: a sweep may have 10,000 files
        found = json.loads(b"[%s]" % b",".join(lines))
        if len(found) == len(lines) and all(isinstance(record, dict) for record in found):
            return [_read(record) for record in found]
    records = []
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None:
            raise InputError(f"{path}, line {number}: not a JSON object")
        records.append(_read(record))
    return records


def _read(record: dict[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in record.items()}


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _step(line: bytes) -> float:
    """The step of a line; of a line that is none, one beyond all steps."""
    step = (_parse(line) or {}).get("step")
    return step if isinstance(step, int) and line.endswith(b"\n") else math.inf


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a numpy or jax scalar
        value = value.item()
    if isinstance(value, numbers.Integral | str | None):
        return value
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"a metric must be a number, a string or None, and not {value!r}")
