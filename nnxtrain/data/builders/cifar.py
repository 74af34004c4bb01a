"""CIFAR-10 and CIFAR-100 from their binary archives.

A record is one label byte (CIFAR-100: coarse, then fine) and 3072 bytes of pixels: three planes of
32x32. https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorflow_datasets.image_classification import cifar

from nnxtrain.data.builders.tf_free import TFFree
from nnxtrain.errors import InputError

_SIDE = 32


class Cifar10(TFFree, cifar.Cifar10, skip_registration=True):
    """CIFAR-10, prepared without TensorFlow."""

    def urls(self) -> list[str]:
        return [self._cifar_info.url]

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        layout = self._cifar_info
        files = _read_archive(
            Path(dl_manager.download(layout.url)),
            layout.prefix,
            [*layout.label_files, *layout.train_files, *layout.test_files],
        )
        for key, file in zip(layout.label_keys, layout.label_files):
            self.info.features[key].names = files[file].decode().split()
        return {
            "train": self._generate_examples("train_", [files[f] for f in layout.train_files]),
            "test": self._generate_examples("test_", [files[f] for f in layout.test_files]),
        }

    def _generate_examples(
        self, prefix: str, blobs: list[bytes]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        keys = self._cifar_info.label_keys
        index = 0
        for blob in blobs:
            record_size = len(keys) + 3 * _SIDE * _SIDE
            if len(blob) % record_size:
                raise InputError(
                    f"{self.name}: a batch file of {len(blob)} bytes is not a whole number of "
                    f"{record_size}-byte records; fetch the archive again"
                )
            for record in np.frombuffer(blob, np.uint8).reshape(-1, record_size):
                labels = {key: int(record[i]) for i, key in enumerate(keys)}
                for key, label in labels.items():
                    if label >= self.info.features[key].num_classes:
                        raise InputError(
                            f"{self.name}: record {index} of {prefix[:-1]} has {key} {label}, "
                            f"but there are {self.info.features[key].num_classes} classes"
                        )
                pixels = record[len(keys) :].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                image = Image.fromarray(np.ascontiguousarray(pixels))
                yield index, {"id": f"{prefix}{index:05d}", "image": image, **labels}
                index += 1


class Cifar100(Cifar10, cifar.Cifar100, skip_registration=True):
    """CIFAR-100, prepared without TensorFlow."""


def _read_archive(path: Path, prefix: str, names: list[str]) -> dict[str, bytes]:
    """Return the contents of the members ``prefix + name``, reading the archive once."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removeprefix("./").removeprefix(prefix)
                stream = archive.extractfile(member) if name in names else None
                if stream is not None:
                    found[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as a tar archive: {error}") from error
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path} has no {prefix}{missing[0]}; fetch the archive again")
    return found
