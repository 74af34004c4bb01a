"""Batches for training and for evaluation, as iterators over numpy dictionaries.

Training batches may be fetched ahead, each by one of a few threads: a source gives a whole batch at a time, mostly in
code that lets other threads run.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np

from nnxtrain.data.sampler import batch_ids, steps_per_epoch
from nnxtrain.data.source import Batch, Source
from nnxtrain.errors import InputError


def train_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    prefetch: int = 4,
    threads: int = 1,
    rows: np.ndarray | None = None,
) -> TrainBatches:
    """Return an endless iterator over the batches of steps ``start_step``, ``start_step + 1``, ...

    Args:
      source: The examples.
      batch_size: Examples in a batch.
      seed: Decides the order together with the step number.
      start_step: The first step; starting late costs nothing.
      prefetch: Batches kept ready in the background; 0 fetches in the caller's thread.
      threads: Background threads.
      rows: Which rows of a batch are wanted, int64[n]; None: all.

    Raises:
      InputError: ``batch_size`` is larger than the source, or a number is out of its range. What
        goes wrong while fetching is raised by ``next``.
    """
    steps_per_epoch(len(source), batch_size)
    for name, value, least in (
        ("start_step", start_step, 0),
        ("prefetch", prefetch, 0),
        ("threads", threads, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    return TrainBatches(_BatchOfStep(source, batch_size, seed, start_step, rows), prefetch, threads)


def eval_batches(
    source: Source, *, batch_size: int, rows: np.ndarray | None = None
) -> Iterator[Batch]:
    """Yield every example once, in order, in batches of one size.

    The last batch is padded by repeating its last example. ``"mask"`` (``bool[batch_size]``) is
    False for the padding. ``rows`` are those that are wanted of each batch; None: all.

    Raises:
      InputError: ``batch_size`` is less than 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    return _eval_batches(source, batch_size, np.arange(batch_size) if rows is None else rows)


def _eval_batches(source: Source, batch_size: int, rows: np.ndarray) -> Iterator[Batch]:
    for start in range(0, len(source), batch_size):
        ids = start + rows
        mask = ids < len(source)
        yield {**source.batch(np.minimum(ids, len(source) - 1)), "mask": mask}


class TrainBatches:
    """An endless iterator of batches with background threads; use it in ``with`` or close it."""

    def __init__(self, batches: _BatchOfStep, prefetch: int, threads: int) -> None:
        self._closed = False
        self._batches: Iterator[Batch] = map(batches.__getitem__, itertools.count())
        self._threads: ThreadPoolExecutor | None = None
        if prefetch:
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="nnxtrain-batches")
            self._batches = self._ahead(batches, prefetch, self._threads)

    @staticmethod
    def _ahead(
        batches: _BatchOfStep, prefetch: int, threads: ThreadPoolExecutor
    ) -> Iterator[Batch]:
        """The batches in order, of which so many more than the one that is waited for are under way, or ready."""
        indices = itertools.count()
        pending = deque(threads.submit(batches.__getitem__, next(indices)) for _ in range(prefetch))
        while True:
            pending.append(threads.submit(batches.__getitem__, next(indices)))
            yield pending.popleft().result()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        return next(self._batches)

    def close(self) -> None:
        """Stop fetching ahead; the threads end. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            if self._threads is not None:
                self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _BatchOfStep:
    """The source by steps: element ``i`` is the batch of step ``start_step + i``."""

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int,
        start_step: int,
        rows: np.ndarray | None,
    ) -> None:
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._start_step = start_step
        self._rows = slice(None) if rows is None else rows

    def __getitem__(self, index: int) -> Batch:
        step = self._start_step + index
        ids = batch_ids(self._seed, step, len(self._source), self._batch_size)
        return self._source.batch(ids[self._rows])
