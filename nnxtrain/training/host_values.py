"""Numbers of the device and of NumPy as Python's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def host_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics as Python floats, each the shortest decimal that means the same float32.

    >>> import jax.numpy as jnp
    >>> host_values({"accuracy": jnp.float32(0.896)})
    {'accuracy': 0.896}
    """
    fetched = jax.device_get(dict(metrics))
    return {name: float(str(np.asarray(fetched[name])[()])) for name in metrics}


def plain(values: np.ndarray) -> list[Any]:
    """Return the numbers (or booleans) of a vector; of floats the shortest decimal that means the same.

    >>> plain(np.float32([0.1, 2])), plain(np.array([True, False])), plain(np.int32([3]))
    ([0.1, 2.0], [True, False], [3])
    """
    return [float(str(x)) for x in values] if values.dtype.kind == "f" else values.tolist()
