"""Where examples come from: anything that can return a batch for given example numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError

Batch = dict[str, np.ndarray]


class Source(Protocol):
    """Random access to the examples of one split, a batch at a time."""

    @property
    def spec(self) -> Spec:
        """Shapes, classes and statistics."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hex digest that changes when any example, label or their order changes."""
        ...

    def __len__(self) -> int: ...

    def batch(self, ids: np.ndarray) -> Batch:
        """Return ``{"image": uint8[B, H, W, C], "label": int32[B]}`` of the examples ``ids``."""
        ...


class ArraySource:
    """Examples held in arrays, in memory or memory-mapped.

    Args:
      images: ``uint8[N, H, W, C]``.
      labels: Integers ``[N]``.
      spec: What the examples are.
      fingerprint: The content's digest where it is known already; otherwise it is computed on first
        use.

    Raises:
      InputError: The arrays do not fit together or do not fit ``spec``.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, spec: Spec, fingerprint: str | None = None
    ) -> None:
        if len(images) != len(labels):
            raise InputError(f"data: {len(images)} images but {len(labels)} labels")
        if images.shape[1:] != tuple(spec.input_shape) or images.dtype != spec.input_dtype:
            raise InputError(
                f"data: images are {images.dtype}{list(images.shape[1:])}, "
                f"the spec says {spec.input_dtype}{list(spec.input_shape)}"
            )
        # A view of the base class: indexing np.memmap itself is several times slower.
        self.images = np.asarray(images)
        self.labels = np.asarray(labels, np.int32)
        self.spec = spec
        self._fingerprint = fingerprint

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint or digest(self.images, self.labels)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, ids: np.ndarray) -> Batch:
        return {"image": self.images[ids], "label": self.labels[ids]}


class Subset:
    """The examples ``ids`` of another source, in that order.

    >>> import numpy as np
    >>> spec = Spec((2, 2, 1), "uint8", 3, ("a", "b", "c"), (0.5,), (0.2,))
    >>> source = ArraySource(np.zeros((3, 2, 2, 1), np.uint8), np.arange(3), spec)
    >>> Subset(source, np.array([2, 0])).batch(np.array([0]))["label"]
    array([2], dtype=int32)
    """

    def __init__(self, source: Source, ids: np.ndarray) -> None:
        ids = np.asarray(ids, np.int64)
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(source):
            raise InputError(f"data: example numbers must lie in 0..{len(source) - 1}")
        self.source = source
        self.ids = ids

    @property
    def spec(self) -> Spec:
        return self.source.spec

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            self.source.fingerprint.encode() + digest(self.ids).encode()
        ).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, ids: np.ndarray) -> Batch:
        return self.source.batch(self.ids[ids])


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set."""

    train: Source
    validation: Source
    test: Source


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of the arrays' dtypes, shapes and contents, as hex."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
