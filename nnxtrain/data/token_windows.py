"""Windows of tokens for next-token prediction, cut from long streams as batches need them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from nnxtrain.data.assembly import Division
from nnxtrain.data.source import Batch, Splits, digest
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError

Streams = Sequence[np.ndarray]


class TokenWindows:
    """Windows of ``length`` tokens, each with the tokens that come next; no window crosses from a stream to another.

    Args:
      streams: Whole numbers ``[N]`` of any integer dtype, in memory or mapped.
      spec: ``input_shape`` is ``(length,)``.
      stride: How far a window starts from the one before.
      every_token: False for training: all windows are whole, and what is left at a stream's end is not used. True for
        evaluation: each token but a stream's first is predicted once. The last window of a stream is padded; where windows
        overlap, those tokens count that the window before has not predicted.

    A batch has ``input`` ``int32[B, length]`` and ``label`` ``int32[B, length]``, the same shifted by one; for evaluation
    also ``weight`` ``float32[B, length]``, 0 for what does not count.

    >>> spec = Spec((4,), "int32", vocab_size=10)
    >>> batch = TokenWindows([np.arange(8)], spec, stride=4, every_token=True).batch(np.arange(2))
    >>> batch["label"].tolist(), batch["weight"][1].tolist()
    ([[1, 2, 3, 4], [5, 6, 7, 0]], [1.0, 1.0, 1.0, 0.0])
    """

    def __init__(self, streams: Streams, spec: Spec, *, stride: int, every_token: bool) -> None:
        # Views of the base class: slicing np.memmap itself is several times slower.
        self.streams = [np.asarray(stream) for stream in streams]
        self.spec = spec
        self.stride = stride
        self.every_token = every_token
        (self.length,) = spec.input_shape
        self._starts = np.cumsum([0, *map(self._count, self.streams)])  # of each stream's windows

    def _count(self, stream: np.ndarray) -> int:
        """How many windows a stream has."""
        beyond = len(stream) - 1 - self.length  # what the first window leaves
        if not self.every_token:
            return 0 if beyond < 0 else 1 + beyond // self.stride
        return 0 if len(stream) < 2 else 1 + math.ceil(max(beyond, 0) / self.stride)

    @cached_property
    def fingerprint(self) -> str:
        windows = (self.length, self.stride, self.every_token)
        return hashlib.sha256(f"{digest(*self.streams)} {windows}".encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batch(self, ids: np.ndarray) -> Batch:
        shape = (len(ids), self.length)
        inputs, labels = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        weight = np.zeros(shape, np.float32)
        which = np.searchsorted(self._starts, ids, "right") - 1
        places = ids - self._starts[which]
        for row, (stream, place) in enumerate(zip(which.tolist(), places.tolist())):
            start = place * self.stride
            tokens = self.streams[stream][start : start + self.length + 1]
            inputs[row, : len(tokens)] = tokens[: self.length]
            labels[row, : len(tokens) - 1] = tokens[1:]
            weight[row, self.length - self.stride if place else 0 : len(tokens) - 1] = 1
        batch = {"input": inputs, "label": labels}
        return batch | {"weight": weight} if self.every_token else batch


def assemble_windows(
    given: Mapping[str, Streams],
    division: Division,
    spec: Spec,
    *,
    stride: int | None,
    eval_stride: int | None,
) -> Splits:
    """Return the splits of a data set of tokens.

    Args:
      given: The streams of ``train``, and of ``validation`` and ``test`` where there are such.
      division: The splits that are not given are the end of train: train, then validation, then test.
      spec: ``input_shape`` is ``(length,)``.
      stride: Of training windows; None is ``length``: they do not overlap.
      eval_stride: Of evaluation windows, at most ``length``, which None is.

    Raises:
      InputError: A stride is out of its range, or a split has too few tokens.
    """
    (length,) = spec.input_shape
    for name, value, most in (
        ("length", length, None),
        ("stride", stride, None),
        ("eval_stride", eval_stride, length),
    ):
        if value is not None and (value < 1 or (most is not None and value > most)):
            limit = f"from 1 to data.length={most}" if most else "at least 1"
            raise InputError(f"data.{name} must be {limit}, got {value}")
    size = sum(map(len, given["train"]))
    streams = {
        name: _between(given["train"], first, last)
        for name, (first, last) in division.tails(size, list(given)).items()
    } | {name: list(streams) for name, streams in given.items() if name != "train"}
    splits = {
        name: TokenWindows(
            part,
            spec,
            stride=(stride if name == "train" else eval_stride) or length,
            every_token=name != "train",
        )
        for name, part in streams.items()
    }
    for name, source in splits.items():
        if not len(source):
            tokens = max(map(len, source.streams), default=0)
            least = length + 1 if name == "train" else 2
            raise InputError(
                f"data: {name} has {tokens} tokens in a row, and at least {least} are needed; give a longer text"
                + (f", or data.length={tokens - 1}" if name == "train" and tokens > 2 else "")
            )
    return Splits(**splits)


def _between(streams: Streams, first: int, last: int) -> list[np.ndarray]:
    """The tokens ``first`` to ``last`` of all streams; a part that begins inside a stream has the token before it too, so
    that its first token is predicted as well."""
    parts, begin = [], 0
    for stream in streams:
        start, stop = max(first - begin, 0), min(last - begin, len(stream))
        if start < stop:
            parts.append(stream[max(start - 1, 0) : stop])
        begin += len(stream)
    return parts
