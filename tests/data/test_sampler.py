from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.data import batch_ids, steps_per_epoch
from nnxtrain.data.sampler import permutation
from nnxtrain.errors import InputError

sizes = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 2**63), st.integers(0, 5))
def test_an_epoch_is_the_prefix_of_a_permutation(
    size: tuple[int, int], seed: int, epoch: int
) -> None:
    num_examples, batch_size = size
    steps = steps_per_epoch(num_examples, batch_size)
    batches = [batch_ids(seed, epoch * steps + i, num_examples, batch_size) for i in range(steps)]
    ids = np.concatenate(batches)
    assert ids.dtype == np.int64
    assert all(len(batch) == batch_size for batch in batches)
    assert len(np.unique(ids)) == len(ids) == num_examples // batch_size * batch_size
    assert ids.min() >= 0
    assert ids.max() < num_examples


@given(sizes, st.integers(0, 2**63), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(
    size: tuple[int, int], seed: int, steps: list[int]
) -> None:
    forward = {step: batch_ids(seed, step, *size) for step in steps}
    backward = {step: batch_ids(seed, step, *size) for step in reversed(steps)}
    assert all(np.array_equal(forward[step], backward[step]) for step in steps)


def test_epochs_and_seeds_differ() -> None:
    first = batch_ids(0, 0, 1000, 1000)
    assert not np.array_equal(first, batch_ids(0, 1, 1000, 1000))
    assert not np.array_equal(first, batch_ids(1, 0, 1000, 1000))


def test_the_order_is_fixed_for_good() -> None:
    """A run that is resumed by a later version sees the batches that it would have seen."""
    assert permutation((7, 3), 8).tolist() == [2, 5, 7, 3, 0, 6, 4, 1]


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_wrong_batch_size_is_named(batch_size: int) -> None:
    with pytest.raises(InputError, match=f"batch_size.*{batch_size}"):
        batch_ids(0, 0, 10, batch_size)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(InputError, match="step"):
        batch_ids(0, -1, 10, 2)


def test_a_batch_cannot_be_written_to() -> None:
    """It is a view of an order that later steps share."""
    with pytest.raises(ValueError, match="read-only"):
        batch_ids(0, 0, 10, 5)[0] = 1
