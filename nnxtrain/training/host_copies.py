"""Copies of a CPU's arrays into memory that is used again: taking new memory costs more than writing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nnxtrain.nnx.random.blocks import aligned


class HostCopies:
    """Keeps the memory of one copy of each array that it is given, from the first copy on.

    >>> import jax.numpy as jnp
    >>> copies = HostCopies()
    >>> copies.of({"x": jnp.arange(3)})["x"].tolist()
    [0, 1, 2]
    """

    def __init__(self) -> None:
        self._memory: dict[tuple[str, tuple[int, ...], np.dtype], np.ndarray] = {}

    def of(self, flat: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Return copies, by path, which hold until the next call; the originals may be donated at once."""
        kept, copies = {}, {}
        for path, x in flat.items():
            key = path, x.shape, x.dtype
            memory = self._memory.pop(key, None)
            if memory is None:
                memory = aligned(x.size, x.dtype).reshape(x.shape)
            # Not of x itself, which keeps NumPy's view of its memory: what is viewed cannot be donated.
            np.copyto(memory, np.asarray(x.addressable_data(0)))
            kept[key] = memory
            copies[path] = jax.device_put(memory)
        self._memory = kept
        return copies


def is_here(x: Any) -> bool:
    """Whether this is a jax array in the memory of the host, whole on one device."""
    if not isinstance(x, jax.Array) or len(x.sharding.device_set) > 1:
        return False
    device: Any = next(iter(x.sharding.device_set))
    return device.platform == "cpu" and x.is_fully_addressable
