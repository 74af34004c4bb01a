from __future__ import annotations

import numpy as np
import pytest

from nnxtrain.data import Spec


@pytest.fixture(scope="session")
def rgb() -> Spec:
    return Spec((8, 10, 3), "uint8", 4, ("a", "b", "c", "d"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


@pytest.fixture(scope="session")
def grey() -> Spec:
    return Spec((8, 10, 1), "uint8", 4, ("a", "b", "c", "d"), (0.5,), (0.2,))


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (16, 8, 10, 3), dtype=np.uint8)
    return {"input": images, "label": np.arange(16, dtype=np.int32) % 4}
