"""The files: one npz for each family, under ``tests/nnx/layers/parity``.

All arrays of a family lie in one run of bytes, with an index beside it: as entries of the npz, their headers would weigh
ten times as much as they do. The index has rows [case, library, name, dtype, shape]; the library is "case" for what all
share, else "flax" or "torch".
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import ml_dtypes
import numpy as np

from scripts.parity.evaluate import Values

FOLDER = Path(__file__).parents[2] / "tests/nnx/layers/parity"

Stored = dict[str, dict[str, Values]]  # by case, by library


def save(family: str, stored: Stored) -> Path:
    index, data = [], []
    for case, libraries in stored.items():
        for library, values in libraries.items():
            for name, value in values.items():
                index.append([case, library, name, value.dtype.name, value.shape])
                data.append(value.tobytes())
    path = FOLDER / f"{family}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        index=np.frombuffer(json.dumps(index).encode(), np.uint8),
        data=np.frombuffer(b"".join(data), np.uint8),
    )
    return path


def load(family: str) -> Stored:
    """Read a family's file; empty where there is none yet."""
    path = FOLDER / f"{family}.npz"
    stored: Stored = {}
    if not path.exists():
        return stored
    with np.load(path) as file:
        index, data = json.loads(file["index"].tobytes()), file["data"].tobytes()
    offset = 0
    for case, library, name, dtype_name, shape in index:
        dtype = np.dtype(ml_dtypes.bfloat16 if dtype_name == "bfloat16" else dtype_name)
        value = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
        stored.setdefault(case, {}).setdefault(library, {})[name] = value
        offset += value.nbytes
    return stored
