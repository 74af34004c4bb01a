import numpy as np
import pytest

from nnxtrain.data import Synthetic
from nnxtrain.errors import InputError


def test_examples_follow_the_seed() -> None:
    splits = Synthetic(shape=[4, 3, 2], num_classes=5, size=200).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [160, 20, 20]
    batch = splits.train.batch(np.arange(160))
    assert (batch["input"].shape, batch["input"].dtype) == ((160, 4, 3, 2), np.uint8)
    assert np.bincount(batch["label"]).tolist() == [32] * 5
    assert len(np.unique(batch["input"])) == 256
    again = Synthetic(shape=[4, 3, 2], num_classes=5, size=200).load()
    other = Synthetic(shape=[4, 3, 2], num_classes=5, size=200, seed=1).load()
    assert again.train.fingerprint == splits.train.fingerprint != other.train.fingerprint


@pytest.mark.parametrize(
    "options", [{"shape": []}, {"shape": [4, 0]}, {"num_classes": 1}, {"size": 99}]
)
def test_numbers_out_of_range(options: dict) -> None:
    with pytest.raises(InputError, match="at least"):
        Synthetic(**options)
