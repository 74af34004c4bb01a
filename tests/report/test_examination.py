import base64
import io

import numpy as np
import pytest
from PIL import Image

from nnxtrain.report.examination import Classes, classes_of, worst
from nnxtrain.report.pictures import picture

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2], np.int32)
PREDICTIONS = np.array([0, 1, 1, 1, 0, 2, 2, 0, 2], np.int32)


def test_classes_by_hand():
    classes = classes_of(LABELS, PREDICTIONS, ["a", "b", "c", "never"])
    np.testing.assert_array_equal(
        classes.matrix, [[1, 2, 0, 0], [1, 1, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]]
    )
    scores = classes.scores()
    assert [row[:2] for row in scores] == [("a", 3), ("b", 2), ("c", 4), ("never", 0)]
    np.testing.assert_allclose([row[2] for row in scores], [1 / 3, 1 / 3, 1, np.nan], rtol=1e-6)
    np.testing.assert_allclose([row[3] for row in scores], [1 / 3, 1 / 2, 3 / 4, np.nan], rtol=1e-6)
    np.testing.assert_allclose([row[4] for row in scores], [1 / 3, 2 / 5, 6 / 7, np.nan], rtol=1e-6)
    assert classes.confusions(2) == [("a", "b", 2, 2 / 3), ("b", "a", 1, 1 / 2)]


def test_a_label_that_is_not_known_counts_nowhere():
    label, prediction = np.array([0, -1, 1]), np.array([1, 1, 1])
    assert classes_of(label, prediction, ["a", "b"]).matrix.tolist() == [[0, 1], [0, 1]]
    assert worst(label, prediction, np.array([0.5, 0.9, 0.9]), 5).tolist() == [0]


def test_no_confusions_where_all_is_right():
    assert Classes(("a", "b"), np.array([[3, 0], [0, 2]])).confusions() == []


def test_the_worst_are_the_surest_of_the_wrong():
    probability = np.array([0.9, 0.5, 0.8, 0.9, 0.8, 0.9, 0.9, 0.6, 0.9])
    assert worst(LABELS, PREDICTIONS, probability, 3).tolist() == [2, 4, 7]
    assert worst(LABELS, LABELS, probability, 3).tolist() == []


def decoded(address: str) -> np.ndarray:
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("shape", [(8, 6, 3), (8, 6, 4), (8, 6, 1), (8, 6)])
def test_a_picture_is_the_image(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(
        decoded(picture(image)), image.reshape(decoded(picture(image)).shape)
    )


def test_numbers_are_spread_from_black_to_white():
    image = np.linspace(-3, 1, 64, dtype=np.float32).reshape(8, 8, 1)
    found = decoded(picture(image))
    assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_allclose(found.reshape(-1), np.linspace(0, 255, 64), atol=1)


@pytest.mark.parametrize("shape", [(5,), (8, 8, 2), (2, 8, 8, 3), (1, 1, 3)])
def test_what_is_no_image_has_no_picture(shape):
    assert picture(np.zeros(shape, np.float32)) is None
