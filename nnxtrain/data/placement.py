"""Small data sets live on the device: the host then sends example numbers, and the compiled step gathers the rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jax
import numpy as np

from nnxtrain.data.source import ArraySource, Batch, Source, Splits, Subset
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError


class Resident:
    """A source whose arrays lie on the device; its batches are ``{"ids": int32[B]}`` for :func:`gathered`.

    Args:
      base: the arrays, put on the device on first use.
      source: the same examples on the host.
      ids: for each example its row in the arrays; None: the same.
    """

    def __init__(self, base: DeviceArrays, source: Source, ids: np.ndarray | None) -> None:
        self._base = base
        self._source = source
        self._ids = ids

    @property
    def spec(self) -> Spec:
        return self._source.spec

    @property
    def fingerprint(self) -> str:
        return self._source.fingerprint

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, ids: np.ndarray) -> Batch:
        """The rows of the examples ``ids``."""
        return {"ids": np.asarray(ids if self._ids is None else self._ids[ids], np.int32)}

    @property
    def host_arrays(self) -> Mapping[str, np.ndarray]:
        """The same arrays on the host."""
        return self._base.host

    @property
    def resident(self) -> dict[str, jax.Array]:
        """The arrays on the device."""
        return self._base.arrays


class DeviceArrays:
    """Arrays that are put on the device when they are first asked for; several splits may share them."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], sharding: jax.sharding.Sharding | None
    ) -> None:
        self.host, self._sharding = arrays, sharding

    @cached_property
    def arrays(self) -> dict[str, jax.Array]:
        return {
            name: jax.device_put(np.ascontiguousarray(a), self._sharding)
            for name, a in self.host.items()
        }


def place(splits: Splits, placement: str, sharding: jax.sharding.Sharding | None = None) -> Splits:
    """Return the splits as they are to be read: from the host, or from arrays on the device.

    Args:
      splits: as a data set loads them.
      placement: ``host``; ``device``; or ``auto``: the device for arrays up to 1 GiB (256 MiB on a CPU).
      sharding: where on several devices; None: the first.

    Raises:
      InputError: ``device`` for a source that is not held in arrays.
    """
    bases: dict[int, DeviceArrays] = {}

    def placed(source: Source) -> Source:
        base, ids = _rows(source)
        if base is None:
            if placement == "device":
                raise InputError(
                    f"trainer.placement=device: {type(source).__name__} is not held in arrays; "
                    "use trainer.placement=host"
                )
            return source
        if placement == "auto" and sum(a.nbytes for a in base.arrays.values()) > _auto_bytes():
            return source
        shared = bases.setdefault(id(base), DeviceArrays(base.arrays, sharding))
        return Resident(shared, source, ids)

    if placement == "host":
        return splits
    return Splits(placed(splits.train), placed(splits.validation), placed(splits.test))


def resident(source: Source) -> dict[str, jax.Array]:
    """The device's arrays of a source; empty where its batches hold the examples themselves."""
    return source.resident if isinstance(source, Resident) else {}


def resident_shapes(source: Source) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of :func:`resident`, without putting anything on the device."""
    host = source.host_arrays if isinstance(source, Resident) else {}
    return {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in host.items()}


def gathered(batch: Mapping[str, Any], arrays: Mapping[str, jax.Array] | None) -> dict[str, Any]:
    """Inside a compiled function: the batch with its rows in the place of their numbers.

    >>> import jax.numpy as jnp
    >>> gathered({"ids": jnp.array([2, 0])}, {"input": jnp.array([5, 6, 7])})["input"].tolist()
    [7, 5]
    """
    batch = dict(batch)
    if not arrays:
        return batch
    ids = batch.pop("ids")
    rows = {name: a.at[ids].get(mode="promise_in_bounds") for name, a in arrays.items()}
    return rows | batch


def _rows(source: Source) -> tuple[ArraySource | None, np.ndarray | None]:
    """The arrays below a chain of subsets, and the row of each example."""
    ids = None
    while isinstance(source, Subset):
        ids = source.ids if ids is None else source.ids[ids]
        source = source.source
    return (source, ids) if isinstance(source, ArraySource) else (None, None)


def _auto_bytes() -> int:
    """Up to this size of a split's arrays, ``auto`` means the device; a CPU's is the host's own memory."""
    return 256 * 2**20 if jax.default_backend() == "cpu" else 2**30
