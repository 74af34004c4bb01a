"""The files: one compressed npz for each family, under ``tests/nnx/layers/parity``.

A key is "CASE/LIBRARY/NAME", LIBRARY being "case" (what all share), "flax" or "torch". NumPy's format knows no bfloat16:
its bits are kept as uint16 under NAME + ":bfloat16".
"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np

from scripts.parity.evaluate import Values

FOLDER = Path(__file__).parents[2] / "tests/nnx/layers/parity"
BFLOAT16 = ":bfloat16"

Stored = dict[str, dict[str, Values]]  # by case, by library


def save(family: str, stored: Stored) -> Path:
    flat = {}
    for case, libraries in stored.items():
        for library, values in libraries.items():
            for name, value in values.items():
                if value.dtype == ml_dtypes.bfloat16:
                    name, value = name + BFLOAT16, value.view(np.uint16)
                flat[f"{case}/{library}/{name}"] = value
    path = FOLDER / f"{family}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **flat)
    return path


def load(family: str) -> Stored:
    """Read a family's file; empty where there is none yet."""
    path = FOLDER / f"{family}.npz"
    stored: Stored = {}
    if not path.exists():
        return stored
    with np.load(path) as file:
        for key, value in file.items():
            case, library, name = key.split("/")
            if name.endswith(BFLOAT16):
                name, value = name.removesuffix(BFLOAT16), value.view(ml_dtypes.bfloat16)
            stored.setdefault(case, {}).setdefault(library, {})[name] = value
    return stored
