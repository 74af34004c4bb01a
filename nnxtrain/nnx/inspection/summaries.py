"""Arrays in a few words: their type, their placement, and statistics of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.nnx.inspection.static_text import static_text

ON_DEVICE = 1 << 20  # larger arrays are reduced where they are, smaller ones are fetched


def type_text(value: Any) -> str:
    """``float32[2,3]``: dtype and shape.

    >>> type_text(jnp.ones((2, 3)))
    'float32[2,3]'
    """
    return f"{value.dtype}[{','.join(map(str, value.shape))}]"


def is_abstract(value: Any) -> bool:
    """True for what has a shape and no values: tracers and ShapeDtypeStructs."""
    return isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct)


def placement_text(value: Any) -> str:
    """Where an array lies, if that is worth a word: not for one array on the default device.

    >>> placement_text(jnp.ones(3))
    ''
    """
    if isinstance(value, jax.core.Tracer | np.ndarray):
        return ""
    sharding = getattr(value, "sharding", None)
    if sharding is None:
        return ""
    if isinstance(sharding, jax.sharding.NamedSharding):
        if sharding.mesh.size > 1:
            axes = ", ".join(f"{name}: {size}" for name, size in sharding.mesh.shape.items())
            return f"{static_text(sharding.spec)} over ({axes})"
        return ""
    devices = sharding.device_set
    if len(devices) == 1:
        (device,) = devices
        return "" if device == jax.devices()[0] else f"on {device.platform}:{device.id}"
    return f"replicated over {len(devices)} devices" if sharding.is_fully_replicated else "sharded"


def summaries(values: Sequence[Any]) -> list[str]:
    """Statistics of each array, such as ``≈0.51 ±0.33 [≥0.0059, ≤0.97] nonzero:32``: mean, standard deviation, extremes.

    Mean, deviation and extremes are those of the finite elements. Small arrays are fetched together, in one transfer;
    of large ones the statistics alone are. Abstract values, random keys and arrays on other hosts have none.

    >>> summaries([jnp.asarray([1.0, 0.0, jnp.nan]), jnp.asarray(7), jnp.zeros(3, bool)])
    ['≈0.5 ±0.5 [≥0.0, ≤1.0] zero:1 nonzero:1 nan:1', '=7', 'false:3']
    """
    texts = [_without_values(value) for value in values]
    wanted = [i for i, text in enumerate(texts) if text is None]
    parts = [_on_device(values[i]) if values[i].size > ON_DEVICE else values[i] for i in wanted]
    for i, part in zip(wanted, jax.device_get(parts)):
        if values[i].size == 1:
            texts[i] = f"={_number(part.item())}"
        else:
            found = part if isinstance(part, dict) else _statistics(part, np)
            texts[i] = _describe(found, values[i])
    return [text or "" for text in texts]


def _without_values(value: Any) -> str | None:
    """The whole summary of what has no values to look at, else None."""
    if is_abstract(value) or value.size == 0:
        return ""
    if isinstance(value, jax.Array):
        if value.is_deleted():
            return "deleted"
        if not value.is_fully_addressable:
            return "on several hosts"
    return None if value.dtype == bool or jnp.issubdtype(value.dtype, np.number) else ""


def _statistics(value: Any, xp: Any) -> dict[str, Any]:
    """``xp``: numpy or jax.numpy."""
    found = {"zero": xp.sum(value == 0)}
    if value.dtype == bool or jnp.issubdtype(value.dtype, np.complexfloating):
        found["nan"] = xp.sum(value != value)
        found["finite"] = xp.sum(xp.isfinite(value))
        return found
    wide = value.astype(np.float64 if xp is np else jnp.promote_types(value.dtype, jnp.float32))
    finite = xp.isfinite(wide)
    count = xp.maximum(xp.sum(finite), 1)
    mean = xp.sum(xp.where(finite, wide, 0)) / count
    deviation = xp.where(finite, wide, mean) - mean
    return found | {
        "nan": xp.sum(xp.isnan(wide)),
        "finite": xp.sum(finite),
        "mean": mean,
        "std": xp.sqrt(xp.sum(deviation * deviation) / count),
        "min": xp.min(xp.where(finite, wide, np.inf)),
        "max": xp.max(xp.where(finite, wide, -np.inf)),
    }


@jax.jit
def _on_device(value: jax.Array) -> dict[str, jax.Array]:
    return _statistics(value, jnp)


def _describe(found: dict[str, Any], value: Any) -> str:
    zero, nan, finite = (int(found[name]) for name in ("zero", "nan", "finite"))
    if value.dtype == bool:
        counts = {"true": value.size - zero, "false": zero}
    else:
        counts = {"zero": zero, "nonzero": finite - zero, "nan": nan}
        counts["inf"] = value.size - finite - nan
    words = [f"{name}:{count}" for name, count in counts.items() if count]
    if "mean" in found and finite:
        mean, std, low, high = (float(found[name]) for name in ("mean", "std", "min", "max"))
        if jnp.issubdtype(value.dtype, np.integer):
            extremes = f"[≥{int(low)}, ≤{int(high)}]"
        else:
            extremes = f"[≥{_rounded(low)}, ≤{_rounded(high)}]"
        words[:0] = [f"≈{_rounded(mean)}", f"±{_rounded(std)}", extremes]
    return " ".join(words)


def _rounded(value: float) -> str:
    """Two digits, and always recognisable as a float.

    >>> _rounded(0.00591), _rounded(1.0), _rounded(1234.5)
    ('0.0059', '1.0', '1.2e+03')
    """
    text = f"{value:.2g}"
    return text if set(text) - set("-0123456789") else f"{text}.0"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
