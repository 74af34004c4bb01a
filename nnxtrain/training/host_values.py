"""Bring metric values from the device to Python."""

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
