"""Windows of tokens: training sees whole ones, evaluation counts each token once."""

from __future__ import annotations

import numpy as np
import pytest

from nnxtrain.data import Spec, TokenWindows, eval_batches, train_batches
from nnxtrain.data.assembly import Division
from nnxtrain.data.token_windows import assemble_windows
from nnxtrain.errors import InputError


def windows(*sizes: int, length: int, stride: int, every_token: bool) -> TokenWindows:
    """Streams of different numbers: token n is n, so a batch shows where it comes from."""
    ends = np.cumsum(sizes)
    streams = [np.arange(end - size, end, dtype=np.uint16) for size, end in zip(sizes, ends)]
    spec = Spec((length,), "int32", vocab_size=int(ends[-1]))
    return TokenWindows(streams, spec, stride=stride, every_token=every_token)


@pytest.mark.parametrize("sizes", [(2,), (9,), (10,), (11,), (38,), (1, 2, 0, 25, 9)])
@pytest.mark.parametrize(("length", "stride"), [(8, 8), (8, 3), (8, 1), (1, 1), (50, 50)])
def test_evaluation_counts_each_token_once(sizes, length: int, stride: int) -> None:
    source = windows(*sizes, length=length, stride=stride, every_token=True)
    counted = []
    for batch in eval_batches(source, batch_size=3):
        for name, dtype in (("input", np.int32), ("label", np.int32), ("weight", np.float32)):
            assert (batch[name].shape, batch[name].dtype) == ((3, length), dtype)
        counts = (batch["weight"] == 1) & batch["mask"][:, None]
        assert np.array_equal(batch["label"][counts], batch["input"][counts] + 1)
        counted += batch["label"][counts].tolist()
    first = np.cumsum([0, *sizes[:-1]])
    assert sorted(counted) == sorted(set(range(sum(sizes))) - set(first[np.array(sizes) > 0]))


def test_a_smaller_stride_gives_each_token_a_longer_context() -> None:
    source = windows(30, length=8, stride=2, every_token=True)
    batch = source.batch(np.arange(1, len(source)))
    assert (batch["weight"][:, :6] == 0).all()
    assert (batch["weight"][:-1, 6:] == 1).all()


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
def test_training_windows_are_whole(stride: int) -> None:
    source = windows(8, 30, 9, length=8, stride=stride, every_token=False)
    batch = source.batch(np.arange(len(source)))
    assert set(batch) == {"input", "label"}
    assert np.array_equal(batch["label"], batch["input"] + 1)
    assert np.array_equal(np.diff(batch["input"]), np.ones((len(source), 7)))
    starts = [*range(8, 38 - 8, stride), 38]  # of the second stream, and of the third
    assert batch["input"][:, 0].tolist() == starts


def test_training_draws_each_window_once_in_an_epoch() -> None:
    source = windows(81, length=8, stride=8, every_token=False)
    with train_batches(source, batch_size=5, seed=0) as batches:
        seen = np.concatenate([next(batches)["label"] for _ in range(2)])
    assert sorted(seen.ravel()) == list(range(1, 81))


def test_the_fingerprint_follows_tokens_and_windows() -> None:
    one = windows(30, length=8, stride=8, every_token=False).fingerprint
    assert one == windows(30, length=8, stride=8, every_token=False).fingerprint
    others = [
        windows(31, length=8, stride=8, every_token=False),
        windows(30, length=8, stride=4, every_token=False),
        windows(30, length=8, stride=8, every_token=True),
    ]
    assert len({one, *(other.fingerprint for other in others)}) == 4


def splits(*sizes: int, length: int = 8, **strides: int):
    stream = windows(*sizes, length=length, stride=1, every_token=False).streams
    spec = Spec((length,), "int32", vocab_size=sum(sizes))
    strides = {"stride": None, "eval_stride": None} | strides
    return assemble_windows({"train": stream}, Division(0.2, 0.1), spec, **strides)


def test_held_out_splits_are_the_end_and_each_of_their_tokens_counts() -> None:
    parts = splits(60, 40)
    train = parts.train.batch(np.arange(len(parts.train)))
    assert train["label"].max() < 70
    for part, tokens in ((parts.validation, range(70, 90)), (parts.test, range(90, 100))):
        batch = part.batch(np.arange(len(part)))
        assert batch["label"][batch["weight"] == 1].tolist() == list(tokens)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "data.length must be at least 1, got 0"),
        ({"stride": 0}, "data.stride must be at least 1, got 0"),
        ({"eval_stride": 9}, r"data.eval_stride must be from 1 to data.length=8, got 9"),
        ({"length": 70}, "train has 70 tokens in a row, and at least 71 .*data.length=69"),
    ],
)
def test_numbers_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        splits(100, **arguments)


def test_too_little_text() -> None:
    with pytest.raises(InputError, match="test has 0 tokens in a row"):
        splits(4, length=1)
