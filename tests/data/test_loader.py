from __future__ import annotations

import threading
import time
from itertools import islice

import numpy as np
import pytest

from nnxtrain.data import ArraySource, Batch, Subset, batch_ids, eval_batches, train_batches
from nnxtrain.errors import InputError


def labels(batches: object, count: int) -> list[list[int]]:
    return [batch["label"].tolist() for batch in islice(batches, count)]  # type: ignore[call-overload]


@pytest.mark.parametrize(("prefetch", "threads"), [(0, 1), (1, 1), (4, 1), (4, 2)])
def test_batches_are_those_of_the_sampler(
    counting_source: ArraySource, prefetch: int, threads: int
) -> None:
    with train_batches(
        counting_source, batch_size=3, seed=5, prefetch=prefetch, threads=threads
    ) as batches:
        got = labels(batches, 12)
    assert got == [batch_ids(5, step, 10, 3).tolist() for step in range(12)]


@pytest.mark.parametrize("start", [1, 3, 7, 10**9])
def test_starting_late_gives_the_tail(counting_source: ArraySource, start: int) -> None:
    with train_batches(counting_source, batch_size=3, seed=5, start_step=start) as batches:
        got = labels(batches, 5)
    assert got == [batch_ids(5, start + i, 10, 3).tolist() for i in range(5)]


def test_image_and_label_belong_together(counting_source: ArraySource) -> None:
    with train_batches(counting_source, batch_size=4, seed=0) as batches:
        batch = next(batches)
    assert batch["input"].shape == (4, 2, 2, 1)
    assert batch["input"].dtype == np.uint8
    assert batch["label"].dtype == np.int32
    assert (batch["input"][:, 0, 0, 0] == batch["label"]).all()


def test_no_thread_outlives_the_loop(counting_source: ArraySource) -> None:
    before = set(threading.enumerate())
    with train_batches(counting_source, batch_size=2, seed=0) as batches:
        next(batches)
        assert set(threading.enumerate()) - before
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
    batches.close()  # again: no harm
    with pytest.raises(StopIteration):
        next(batches)


class FailingSource(Subset):
    def batch(self, ids: np.ndarray) -> Batch:
        raise OSError("the disk is gone")


def test_an_error_in_the_background_reaches_the_caller(counting_source: ArraySource) -> None:
    source = FailingSource(counting_source, np.arange(10))
    with (
        train_batches(source, batch_size=2, seed=0) as batches,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        next(batches)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("batch_size", 11), ("batch_size", 0), ("start_step", -1), ("prefetch", -1), ("threads", 0)],
)
def test_wrong_arguments_are_named_at_once(
    counting_source: ArraySource, argument: str, value: int
) -> None:
    arguments = {"batch_size": 2, "seed": 0, argument: value}
    with pytest.raises(InputError, match=f"{argument}.*{value}"):
        train_batches(counting_source, **arguments)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 16])
def test_evaluation_counts_every_example_once_in_order(
    counting_source: ArraySource, batch_size: int
) -> None:
    batches = list(eval_batches(counting_source, batch_size=batch_size))
    assert all(len(batch["mask"]) == len(batch["label"]) == batch_size for batch in batches)
    assert all(batch["mask"].dtype == bool for batch in batches)
    seen = np.concatenate([batch["label"][batch["mask"]] for batch in batches])
    assert seen.tolist() == list(range(10))
    padding = np.concatenate([batch["label"][~batch["mask"]] for batch in batches])
    assert (padding == 9).all()


def test_evaluation_of_nothing_yields_nothing(counting_source: ArraySource) -> None:
    empty = Subset(counting_source, np.arange(0))
    assert list(eval_batches(empty, batch_size=4)) == []


def test_evaluation_refuses_an_empty_batch(counting_source: ArraySource) -> None:
    with pytest.raises(InputError, match="batch_size"):
        eval_batches(counting_source, batch_size=0)
