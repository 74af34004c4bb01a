"""What a case is: a layer, its inputs, and the same computation in PyTorch."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

Make = Callable[[np.random.Generator], np.ndarray]


def apply(layer: Any, *inputs: Any) -> Any:
    """The plain call."""
    return layer(*inputs)


@dataclass(frozen=True)
class Case:
    """One computation, the same in every library.

    Attributes:
      name: unique in its family.
      build: from a library (``flax.nnx`` or ``nnxtrain.nnx``, whose names are the same) to the layer.
      inputs: functions ``rng -> array``: ``normal``, ``integers``, ``booleans`` or ``constant``. Floating inputs are
        differentiated.
      call: from the layer and the inputs to the outputs: an array, or a tuple or list (nested too) of arrays.
      torch: the same from ``p``, a dict of tensors by the path of the Variable ("query.kernel"), and the inputs, all in
        our layout. It transposes inside, so its gradients are in our layout too. None: PyTorch has no such thing.
      flax: False where Flax has no such thing, or computes another.
      seeded: False where one seed need not give the same initial values as in Flax.
      tolerance: of outputs and gradients, relative to the largest absolute value of the array.
      torch_tolerance: the same for PyTorch's (default: ``tolerance``).
    """

    name: str
    build: Callable[[Any], Any]
    inputs: tuple[Make, ...]
    call: Callable[..., Any] = apply
    torch: Callable[..., Any] | None = None
    flax: bool = True
    seeded: bool = True
    tolerance: float = 1e-5
    torch_tolerance: float | None = None


def normal(*shape: int, dtype: str = "float32") -> Make:
    return lambda rng: rng.normal(size=shape).astype(_dtype(dtype))


def integers(high: int, *shape: int) -> Make:
    return lambda rng: rng.integers(0, high, size=shape, dtype=np.int32)


def booleans(*shape: int) -> Make:
    return lambda rng: rng.random(shape) < 0.7


def constant(values: Any, dtype: str | None = None) -> Make:
    return lambda rng: np.asarray(values, dtype)


def _dtype(name: str) -> Any:
    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)


def families() -> dict[str, dict[str, Case]]:
    """All cases by family and name."""
    from scripts.parity import families as package

    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        cases = importlib.import_module(f"{package.__name__}.{info.name}").CASES
        found[info.name] = {case.name: case for case in cases}
        if len(found[info.name]) != len(cases):
            raise ValueError(f"two cases of {info.name} have one name")
    return found
