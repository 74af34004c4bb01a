"""shapes5 is hard enough to be worth a network."""

from __future__ import annotations

import numpy as np
import pytest

from nnxtrain.data import Source, Splits, TFDSImages
from nnxtrain.data.builders.shapes5_drawing import CLASS_NAMES, draw


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return TFDSImages(name="shapes5", data_dir=str(tmp_path_factory.mktemp("shapes5"))).load()


def pixels_and_targets(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch = source.batch(np.arange(len(source)))
    flat = batch["input"].reshape(len(source), -1).astype(np.float32) / 127.5 - 1
    pixels = np.hstack([flat, np.ones((len(flat), 1), np.float32)])
    return pixels, np.eye(5, dtype=np.float32)[batch["label"]], batch["label"]


@pytest.mark.slow  # draws the whole set
def test_a_linear_model_stays_under_sixty_percent(splits: Splits) -> None:
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (10_800, 1_200, 2_000)
    pixels, targets, _ = pixels_and_targets(splits.train)
    test_pixels, _, test_labels = pixels_and_targets(splits.test)
    gram, moment = pixels.T @ pixels, pixels.T @ targets
    # Ridge regression on the pixels; the better of two strengths *for the test split*.
    accuracies = [
        (np.argmax(test_pixels @ solved, axis=1) == test_labels).mean()
        for strength in (1e3, 1e4)
        for solved in [np.linalg.solve(gram + strength * np.eye(len(gram), dtype="f4"), moment)]
    ]
    assert 0.25 < max(accuracies) < 0.60


@pytest.mark.slow
def test_the_mean_colour_tells_little(splits: Splits) -> None:
    images, _, labels = pixels_and_targets(splits.train)
    colours = images[:, :-1].reshape(len(images), -1, 3).mean(axis=1)
    of_class = np.stack([colours[labels == label].mean(axis=0) for label in range(5)])
    nearest = np.argmin(((colours[:, None] - of_class) ** 2).sum(-1), axis=1)
    assert (nearest == labels).mean() < 0.35


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_picture_is_a_function_of_its_seed(name: str) -> None:
    pictures = [np.asarray(draw(name, seed)) for seed in (1, 1, 2)]
    assert pictures[0].shape == (32, 32, 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_an_unknown_shape_is_named() -> None:
    with pytest.raises(ValueError, match="'blob'; shapes: circle, "):
        draw("blob", 0)
