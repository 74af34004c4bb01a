"""What is blanked, and with what."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from nnxtrain.augment import Cutout, RandomErasing

KEY = jax.random.key(0)


def boxes(images: np.ndarray, out: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The one rectangle of each image that changed; whatever lies in it changed."""
    found = []
    for before, after in zip(images, np.asarray(out)):
        changed = (before != after).any(-1)
        if not changed.any():
            found.append((0, 0, 0, 0))
            continue
        ys, xs = np.nonzero(changed)
        top, left, bottom, right = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
        assert changed[top:bottom, left:right].all()
        found.append((top, left, bottom - top, right - left))
    return found


def test_random_erasing(rgb):
    images = np.full((400, 20, 30, 3), 9, np.uint8)
    out = jax.jit(RandomErasing(scale=[0.1, 0.3], ratio=[0.5, 2.0], spec=rgb))(
        KEY, {"input": images}
    )["input"]
    assert out.dtype == np.uint8
    found = np.array(boxes(images, out))
    area = found[:, 2] * found[:, 3] / 600
    assert (area > 0).mean() == pytest.approx(0.5, abs=0.1)
    erased = area[area > 0]
    assert erased.min() > 0.08
    assert erased.max() < 0.33
    values = np.asarray(out)[(images != out).any(-1)]
    assert (values == [128, 102, 76]).all()  # the spec's mean, of which the model sees 0


def test_a_given_fill(grey):
    images = np.full((8, 8, 10, 1), 0.5, np.float32)
    erase = RandomErasing(probability=1.0, fill=0.75, spec=grey)
    out = np.asarray(jax.jit(erase)(KEY, {"input": images})["input"])
    assert set(np.unique(out)) == {np.float32(0.5), np.float32(0.75)}


def test_cutout_is_a_square_that_the_edge_may_cut(rgb):
    images = np.full((300, 12, 12, 3), 9, np.uint8)
    out = jax.jit(Cutout(size=4, fill=0.0, spec=rgb))(KEY, {"input": images})["input"]
    found = np.array(boxes(images, out))
    assert found[:, 2:].max() == 4
    assert found[:, 2:].min() == 2  # the middle is always inside
    inner = (found[:, 0] > 0) & (found[:, 0] < 8) & (found[:, 1] > 0) & (found[:, 1] < 8)
    assert (found[inner, 2:] == 4).all()
    assert len({(top, left) for top, left, _, _ in found}) > 60
