"""What JSON can say."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Return a value with null for NaN and the infinities.

    >>> finite({"loss": float("nan"), "scores": [0.5, float("inf")]})
    {'loss': None, 'scores': [0.5, None]}
    """
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
