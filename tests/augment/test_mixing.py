"""Mixup and CutMix: formulas, pairs, labels, distributions."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from nnxtrain.augment import Chain, CutMix, Identity, MixUp, OneOf
from nnxtrain.data import Spec
from nnxtrain.errors import InputError

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def marked() -> dict[str, np.ndarray]:
    """Example i is the number i everywhere and of class i, so that a mixture tells its parts."""
    numbers = np.arange(64, dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (64, 6, 7, 1)).copy()
    return {"input": images, "label": numbers.astype(np.int32)}


SPEC = Spec((6, 7, 1), "uint8", 64)


def parts(labels: np.ndarray) -> list[dict[int, float]]:
    return [{int(c): float(row[c]) for c in np.nonzero(row)[0]} for row in np.asarray(labels)]


def test_mixup_is_the_weighted_sum_of_two_examples_and_of_their_labels(marked):
    out = jax.jit(MixUp(alpha=1.0, spec=SPEC))(KEY, marked)
    assert out["input"].dtype == out["label"].dtype == np.float32
    assert out["label"].shape == (64, 64)
    np.testing.assert_allclose(np.asarray(out["label"]).sum(1), 1.0, atol=1e-6)
    classes = np.arange(64)
    partners = set()
    for row, (label, image) in enumerate(zip(parts(out["label"]), np.asarray(out["input"]))):
        assert row in label
        assert len(label) <= 2
        partners |= set(label) - {row} or {row}
        expected = np.asarray(out["label"])[row] @ classes / 255
        np.testing.assert_allclose(image, expected, atol=1e-5)
    assert partners == set(range(64))  # a permutation: each example is somebody's partner


def test_cutmix_takes_a_box_and_labels_count_its_pixels(marked):
    out = jax.jit(CutMix(alpha=1.0, spec=SPEC))(KEY, marked)
    assert out["input"].dtype == np.uint8
    for row, (label, image) in enumerate(zip(parts(out["label"]), np.asarray(out["input"]))):
        taken = np.unique(image)
        assert set(taken) <= {row, *label}
        for number, share in label.items():
            assert (image == number).mean() == pytest.approx(share, abs=1e-6)
        ys, xs, _ = np.nonzero(image != row)
        if len(ys):
            box = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            assert (box != row).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1))."""
    mix = MixUp(alpha=alpha, spec=Spec((1,), "float32", target_names=("y",)))
    shares = np.asarray(mix.share(jax.random.uniform(KEY, (4000,))))
    assert (shares >= 0).all()
    assert (shares <= 1).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_rows_of_numbers_and_their_targets_are_mixed():
    values = np.arange(10, dtype=np.float32)[:, None]
    mix = MixUp(alpha=1.0, spec=Spec((1,), "float32", target_names=("y",)))
    out = jax.jit(mix)(KEY, {"input": values, "target": 3 * values})
    np.testing.assert_allclose(out["target"], 3 * out["input"], atol=1e-5)
    assert (np.asarray(out["input"]) != values).any()


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_probability(kind, marked):
    assert kind(probability=0.0, spec=SPEC)(KEY, marked) is marked
    labels = jax.jit(kind(alpha=1.0, probability=0.3, spec=SPEC))(KEY, marked)["label"]
    untouched = np.mean([len(label) == 1 for label in parts(labels)])
    assert 0.5 < untouched < 0.95


def test_mixing_twice_and_one_of(marked):
    both = Chain(mixup=MixUp(spec=SPEC), cutmix=CutMix(spec=SPEC))
    labels = np.asarray(jax.jit(both)(KEY, marked)["label"])
    np.testing.assert_allclose(labels.sum(1), 1.0, atol=1e-6)
    choose = jax.jit(OneOf(mixup=MixUp(spec=SPEC), cutmix=CutMix(spec=SPEC), none=Identity()))
    seen = set()
    for step in range(12):
        out = choose(jax.random.fold_in(KEY, step), marked)
        assert out["input"].dtype == out["label"].dtype == np.float32
        values = np.asarray(out["input"]) * 255
        whole = np.abs(values - values.round()).max() < 1e-3
        kept = np.asarray(out["label"]).max(1).min() == 1
        seen.add("none" if kept else "cutmix" if whole else "mixup")
    assert seen == {"none", "cutmix", "mixup"}


def test_refusals():
    text = Spec((4,), "int32", vocab_size=9)
    with pytest.raises(
        InputError, match=r"MixUp needs images or rows of numbers, the data gives sequences \[4\]"
    ):
        MixUp(spec=text)
    with pytest.raises(
        InputError,
        match=r"CutMix needs images \[height, width, channels\], the data gives examples \[3\]",
    ):
        CutMix(spec=Spec((3,), "float32"))
    with pytest.raises(InputError, match=r"MixUp\.alpha must be greater than 0, got 0"):
        MixUp(alpha=0, spec=SPEC)
    with pytest.raises(InputError, match="OneOf has nothing to choose from"):
        OneOf(a=None)
