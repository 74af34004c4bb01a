"""Where examples come from: anything that can return a batch for given example numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
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
        """Return the examples ``ids`` (``int64[B]``) as arrays by name, each of B rows.

        What the model sees is ``input``; ``label`` (``int32``, class or token numbers) or ``target`` (``float32``)
        is what it is to say. Further names are the task's affair.
        """
        ...


class ArraySource:
    """Examples held in arrays, in memory or memory-mapped.

    Args:
      arrays: By name, each of N rows: ``input`` of the spec's shape and dtype, and ``label``, whole numbers ``[N]``, or
        ``target``, numbers ``[N, targets]``, or what else the task asks for.
      spec: What the examples are.
      fingerprint: The content's digest where it is known already; otherwise it is computed on first use.

    Raises:
      InputError: The arrays do not fit together or do not fit ``spec``.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], spec: Spec, fingerprint: str | None = None
    ) -> None:
        inputs = arrays["input"]
        check_lengths(arrays)
        if inputs.shape[1:] != tuple(spec.input_shape) or inputs.dtype != spec.input_dtype:
            raise InputError(
                f"data: inputs are {inputs.dtype}{list(inputs.shape[1:])}, "
                f"the spec says {spec.input_dtype}{list(spec.input_shape)}"
            )
        dtypes = {"label": np.int32, "length": np.int32, "target": np.float32}
        # Views of the base class: indexing np.memmap itself is several times slower.
        self.arrays = {name: np.asarray(a, dtypes.get(name)) for name, a in arrays.items()}
        self.spec = spec
        self._fingerprint = fingerprint

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint or digest(*self.arrays.values())

    def __len__(self) -> int:
        return len(self.arrays["input"])

    def batch(self, ids: np.ndarray) -> Batch:
        return {name: array[ids] for name, array in self.arrays.items()}


def check_lengths(arrays: Mapping[str, np.ndarray], key: str = "data") -> None:
    """Raise an InputError, which names ``key``, where some array has more or fewer rows than ``input``."""
    size = len(arrays["input"])
    for name, array in arrays.items():
        if len(array) != size:
            raise InputError(f"{key}: {size} inputs but {len(array)} {name}s")


class Subset:
    """The examples ``ids`` of another source, in that order.

    >>> import numpy as np
    >>> spec = Spec((2, 2, 1), "uint8", 3, ("a", "b", "c"), (0.5,), (0.2,))
    >>> arrays = {"input": np.zeros((3, 2, 2, 1), np.uint8), "label": np.arange(3)}
    >>> source = ArraySource(arrays, spec)
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

    @property
    def sizes(self) -> dict[str, int]:
        """How many examples each has."""
        return {part.name: len(getattr(self, part.name)) for part in fields(self)}


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of the arrays' dtypes, shapes and contents, as hex."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
