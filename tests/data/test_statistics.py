from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data.statistics import cached_statistics, channel_statistics

IMAGES = np.random.default_rng(0).integers(0, 256, (3000, 5, 4, 3), dtype=np.uint8)
IDS = np.arange(0, 3000, 2)


def test_they_are_those_of_the_chosen_images() -> None:
    mean, std = channel_statistics(IMAGES, IDS)
    chosen = IMAGES[IDS].astype(np.float64) / 255
    np.testing.assert_allclose(mean, chosen.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, chosen.std((0, 1, 2)), rtol=1e-12)


def test_they_do_not_depend_on_the_order() -> None:
    assert channel_statistics(IMAGES, IDS) == channel_statistics(IMAGES, IDS[::-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_they_are_summed_in_pieces(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    images = IMAGES.astype(dtype)
    whole = channel_statistics(images, IDS)
    for numbers in (1, 7 * 60, 1000 * 60):
        monkeypatch.setattr("nnxtrain.data.statistics._CHUNK", numbers)
        np.testing.assert_allclose(channel_statistics(images, IDS), whole, rtol=1e-12)
        if dtype is np.uint8:
            assert channel_statistics(images, IDS) == whole


def test_a_constant_channel_can_be_divided_by() -> None:
    images = np.full((4, 2, 2, 1), 51, np.uint8)
    assert channel_statistics(images, np.arange(4)) == ((0.2,), (1.0,))


@pytest.mark.parametrize("damage", [b"", b"{", b'{"mean": [1], "std": [1]}', b"null"])
def test_the_cache_is_used_and_mended(tmp_path: Path, damage: bytes) -> None:
    expected = channel_statistics(IMAGES, IDS)
    assert cached_statistics(IMAGES, IDS, "abc", tmp_path) == expected
    nothing = np.zeros_like(IMAGES)
    assert cached_statistics(nothing, IDS, "abc", tmp_path) == expected
    (file,) = (tmp_path / "statistics").iterdir()
    file.write_bytes(damage)
    assert cached_statistics(IMAGES, IDS, "abc", tmp_path) == expected
