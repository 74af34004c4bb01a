"""Mean and standard deviation of each channel, exact to the last bit on any machine; the number of each class's examples."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from nnxtrain.data.storage import make_directory
from nnxtrain.errors import InputError

_CHUNK = 2**23  # numbers looked at at a time: memory stays small, whatever an example's size


def channel_statistics(
    inputs: np.ndarray, ids: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and (population) standard deviation of each channel (the last axis) of ``inputs[ids]``.

    Bytes are on the 0..1 scale, and their sums are kept in integers, so the result does not depend on any order; floats
    are taken as they are. Tokens (other integers) have no statistics: both are empty. A constant channel has the
    deviation 1.0, so that one can divide by it.

    >>> channel_statistics(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), np.arange(2))
    ((0.5,), (0.5,))
    >>> channel_statistics(np.array([[1.0, 5.0], [3.0, 5.0]]), np.arange(2))
    ((2.0, 5.0), (1.0, 1.0))
    """
    if inputs.dtype == np.uint8:
        return _of_bytes(inputs, ids)
    if np.issubdtype(inputs.dtype, np.floating) and inputs.ndim > 1:
        return _of_floats(inputs, ids)
    return (), ()


def class_counts(labels: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """Return how often each class occurs among ``labels``, whole numbers [N].

    >>> class_counts(np.array([0, 2, 2]), 3)
    (1, 0, 2)
    """
    return tuple(np.bincount(labels, minlength=num_classes).tolist())


def row_ranges(count: int, array: np.ndarray) -> Iterator[slice]:
    """Yield slices that cover ``range(count)``, each of as many rows of ``array`` as are looked at at a time."""
    step = max(_CHUNK // max(math.prod(array.shape[1:]), 1), 1)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _of_bytes(images: np.ndarray, ids: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = images.shape[-1]
    sums, squares = [0] * channels, [0] * channels
    for rows in row_ranges(len(ids), images):
        chunk = np.ascontiguousarray(images[ids[rows]].reshape(-1, channels).T)
        for c, values in enumerate(chunk):
            sums[c] += int(values.sum(dtype=np.uint64))
            squares[c] += int(np.square(values, dtype=np.uint16).sum(dtype=np.uint64))
    count = len(ids) * math.prod(images.shape[1:-1])
    mean = tuple(s / (255 * count) for s in sums)
    variances = [q * count - s * s for s, q in zip(sums, squares)]
    std = tuple(math.sqrt(v) / (255 * count) if v else 1.0 for v in variances)
    return mean, std


def _of_floats(inputs: np.ndarray, ids: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two passes, as the deviation of large numbers is lost in one."""

    def total(part: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        sums = np.zeros(inputs.shape[-1])
        for rows in row_ranges(len(ids), inputs):
            chunk = inputs[ids[rows]].astype(np.float64)
            sums += part(chunk.reshape(-1, inputs.shape[-1])).sum(0)
        return sums / (len(ids) * math.prod(inputs.shape[1:-1]))

    mean = total(lambda x: x)
    std = np.sqrt(total(lambda x: np.square(x - mean)))
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def cached_statistics(
    images: np.ndarray, ids: np.ndarray, fingerprint: str, root: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same, remembered under ``fingerprint`` in the data directory ``root``."""
    path = root / "statistics" / f"{fingerprint}.json"
    try:
        kept = json.loads(path.read_text())
        mean, std = tuple(map(float, kept["mean"])), tuple(map(float, kept["std"]))
        if len(mean) == len(std) == images.shape[-1]:
            return mean, std
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or damaged: computed below
    mean, std = channel_statistics(images, ids)
    # A data directory that cannot be written to, as one shared by a whole cluster, serves as well.
    with suppress(OSError, InputError):
        draft = make_directory(path.parent) / f"{fingerprint}.{uuid4().hex}"
        draft.write_text(json.dumps({"mean": mean, "std": std}))
        draft.replace(path)
    return mean, std
