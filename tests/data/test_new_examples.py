from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnxtrain.data import Spec
from nnxtrain.data.new_examples import from_array, read_examples
from nnxtrain.errors import InputError

TEXT = Spec((3,), "int32", vocab_size=10)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_tokens_are_those_of_the_vocabulary(dtype) -> None:
    found = from_array(np.array([[1, 2, 9]], dtype), TEXT)
    assert found.arrays["input"].dtype == np.int32
    assert found.batch(np.array([0]))["input"].tolist() == [[1, 2, 9]]
    with pytest.raises(InputError, match="inputs: expected whole numbers from 0 to 9, int32"):
        from_array(np.array([[1, 2, 10]], dtype), TEXT)


def test_image_files_are_grey_or_rgb(tmp_path: Path) -> None:
    path = str(tmp_path / "x.png")
    Image.new("RGB", (5, 4), (1, 2, 3)).save(path)
    batch = read_examples([path], None, Spec((4, 5, 3), "uint8", 2)).batch(np.zeros(2, np.int64))
    assert batch["input"].tolist() == [[[[1, 2, 3]] * 5] * 4] * 2
    with pytest.raises(InputError, match=r"uint8\[N, 4, 5, 4\]; give such arrays in \.npy files"):
        read_examples([path], None, Spec((4, 5, 4), "uint8", 2))
