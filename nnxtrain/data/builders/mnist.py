"""MNIST, Fashion-MNIST and KMNIST from their four gzipped IDX files.

An IDX file starts with two zero bytes, the element type (8: unsigned byte), the number of axes, and
each axis's length as a big-endian 32-bit integer. http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
from PIL import Image
from tensorflow_datasets.image_classification import mnist

from nnxtrain.data.builders.tf_free import TFFree
from nnxtrain.errors import InputError

_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class MNIST(TFFree, mnist.MNIST, skip_registration=True):
    """MNIST, prepared without TensorFlow."""

    def urls(self) -> list[str]:
        return [urljoin(self.URL, file) for files in _FILES.values() for file in files]

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        paths = dl_manager.download(
            {split: [urljoin(self.URL, file) for file in files] for split, files in _FILES.items()}
        )
        return {
            split: self._generate_examples(Path(images), Path(labels))
            for split, (images, labels) in paths.items()
        }

    def _generate_examples(
        self, image_path: Path, label_path: Path
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        images, labels = read_idx(image_path), read_idx(label_path)
        shape = self.info.features["image"].shape[:2]
        if images.ndim != 3 or images.shape[1:] != shape or labels.shape != images.shape[:1]:
            raise InputError(
                f"{self.name}: {image_path.name} holds {images.shape} and {label_path.name} "
                f"{labels.shape}; expected (N, {shape[0]}, {shape[1]}) and (N,)"
            )
        if len(labels) and labels.max() > 9:
            raise InputError(f"{label_path}: label {labels.max()} is not one of 0..9")
        for index, (image, label) in enumerate(zip(images, labels)):
            yield index, {"image": Image.fromarray(image), "label": int(label)}


class FashionMNIST(MNIST, mnist.FashionMNIST, skip_registration=True):
    """Fashion-MNIST, prepared without TensorFlow."""

    URL = mnist.FashionMNIST.URL


class KMNIST(MNIST, mnist.KMNIST, skip_registration=True):
    """KMNIST, prepared without TensorFlow."""

    URL = mnist.KMNIST.URL


def read_idx(path: Path) -> np.ndarray:
    """Return the array of unsigned bytes in a gzipped IDX file.

    Raises:
      InputError: The file is not gzip, not IDX, or cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as gzip: {error}") from error
    axes = data[3] if len(data) > 3 else 0
    header = 4 + 4 * axes
    if data[:3] != b"\x00\x00\x08" or len(data) < header:
        raise InputError(f"{path} is not an IDX file of unsigned bytes")
    shape = tuple(np.frombuffer(data, ">u4", count=axes, offset=4).tolist())
    if len(data) - header != int(np.prod(shape)):
        raise InputError(
            f"{path} should hold {shape} bytes after its header, has {len(data) - header}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
