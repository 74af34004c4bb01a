from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.data.selection import carve, split_ids
from nnxtrain.errors import InputError

SPLITS = tfds.core.splits.SplitDict(
    [
        tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0, filename_template=None)
        for name, size in (("train", 10), ("test", 4))
    ]
)
STARTS = {"train": 0, "test": 10}


def select(spec: str) -> list[int]:
    return list(split_ids(spec, SPLITS, STARTS, "data.splits.train"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("train", range(10)),
        ("test", range(10, 14)),
        ("train[:80%]", range(8)),
        ("train[-3:]", range(7, 10)),
        ("train[2:4]", range(2, 4)),
        ("test + train[:1]", [10, 11, 12, 13, 0]),
        ("train[50%:]+test[:2]", [5, 6, 7, 8, 9, 10, 11]),
        ("all", range(14)),
    ],
)
def test_split_syntax(spec: str, expected: range | list[int]) -> None:
    assert select(spec) == list(expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("trian", r"no split 'trian'; did you mean 'train'\?.*splits: train, test"),
        ("train+dev", "no split 'dev'.*train, test"),
        ("train[:80", "data.splits.train"),
        ("train[:300%]", "data.splits.train"),
        ("train[5:5]", "no examples"),
        ("train+train[:1]", "twice"),
        ("", "no split ''"),
    ],
)
def test_a_wrong_split_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        select(spec)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=100),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_carving_partitions_each_class(labels: list[int], fraction: float, seed: int) -> None:
    classes = np.array(labels)
    ids = np.arange(len(classes)) * 3 + 7
    train, validation = carve(ids, classes, fraction, seed)
    assert sorted([*train, *validation]) == ids.tolist()
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    for label in set(labels):
        members = ids[classes == label]
        taken = np.isin(members, validation).sum()
        assert abs(taken - fraction * len(members)) <= 1
        if len(members) > 1:
            assert 1 <= taken < len(members)


def test_carving_depends_on_its_seed() -> None:
    ids, labels = np.arange(1000), np.arange(1000) % 10
    first, again, other = (carve(ids, labels, 0.1, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_split_that_is_carved_does_not_depend_on_other_classes() -> None:
    ids, labels = np.arange(100), np.arange(100) % 5
    whole = carve(ids, labels, 0.2, 0)[1]
    part = carve(ids[labels == 3], labels[labels == 3], 0.2, 0)[1]
    assert np.array_equal(whole[whole % 5 == 3], part)
    assert len(part) == 4
