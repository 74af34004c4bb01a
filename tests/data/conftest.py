"""Data directories to prepare sets in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import ArraySource, Spec, TFDSImages


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own data directory and proxies play no part."""
    for name in ("NNXTRAIN_DATA_DIR", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which shapes5/tiny is prepared and decoded."""
    root = tmp_path_factory.mktemp("tiny")
    TFDSImages(name="shapes5/tiny", data_dir=str(root)).load()
    return root


@pytest.fixture
def tiny(tiny_root: Path) -> Callable[..., TFDSImages]:
    """Build shapes5/tiny with further arguments."""
    return lambda **kwargs: TFDSImages(name="shapes5/tiny", data_dir=str(tiny_root), **kwargs)


@pytest.fixture
def counting_source() -> ArraySource:
    """Ten 2x2 images; every pixel of image i is i, and so is its label."""
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 2, 2, 1))
    names = tuple("abcdefghij")
    return ArraySource(
        {"input": images, "label": np.arange(10)},
        Spec((2, 2, 1), "uint8", 10, names, (0.1,), (0.2,)),
    )
