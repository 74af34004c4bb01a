"""Config-driven training for JAX, with an NNX-style module library of its own.

    import nnxtrain
    run = nnxtrain.fit(["config=lenet_shapes5", "trainer.epochs=2"])
    nnxtrain.evaluate(run.directory)["accuracy"]

Importing the package loads nothing heavy; each name is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnxtrain import nnx as nnx
    from nnxtrain.api import evaluate as evaluate
    from nnxtrain.api import export as export
    from nnxtrain.api import fit as fit
    from nnxtrain.api import generate as generate
    from nnxtrain.api import predict as predict
    from nnxtrain.api import run_sweep as run_sweep
    from nnxtrain.config.composition import compose as compose

__version__ = "0.1.0"

_HOME = {
    "compose": "nnxtrain.config.composition",
    "evaluate": "nnxtrain.api",
    "export": "nnxtrain.api",
    "fit": "nnxtrain.api",
    "generate": "nnxtrain.api",
    "predict": "nnxtrain.api",
    "run_sweep": "nnxtrain.api",
}

__all__ = [
    "__version__",
    "compose",
    "evaluate",
    "export",
    "fit",
    "generate",
    "nnx",
    "predict",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    if name == "nnx":
        return importlib.import_module("nnxtrain.nnx")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
