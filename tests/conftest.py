"""For all tests: four simulated devices, quick compiling, verified graph structures, archives in the published formats."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Quicker compiling, to the same bits; LLVM's lowest level would be quicker still, but rounds otherwise.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=4 --xla_llvm_disable_expensive_passes=true",
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["NNXTRAIN_CHECK_STRUCTURE"] = "1"  # each cached structure is compared with a new walk
# Many tests compile the same small programs, in processes of their own.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache/compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


@pytest.fixture
def write_cifar10() -> Callable[..., CifarExamples]:
    return _write_cifar10


@pytest.fixture
def write_mnist() -> Callable[..., None]:
    return _write_mnist


CifarExamples = dict[str, tuple[np.ndarray, np.ndarray]]


def _write_cifar10(folder: Path, per_file: int = 20, seed: int = 0) -> CifarExamples:
    """Write ``cifar-10-binary.tar.gz`` and return its images and labels by split."""
    from nnxtrain.data.catalog import CATALOG

    random = np.random.default_rng(seed)
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    images = random.integers(0, 256, (len(files), per_file, 32, 32, 3), dtype=np.uint8)
    labels = np.tile(np.arange(per_file, dtype=np.uint8) % 10, (len(files), 1))
    names = "\n".join(CATALOG["cifar10"].class_names) + "\n\n"
    contents = {"batches.meta.txt": names.encode()}
    for file, file_images, file_labels in zip(files, images, labels):
        planes = file_images.transpose(0, 3, 1, 2).reshape(per_file, -1)
        contents[file] = np.concatenate([file_labels[:, None], planes], axis=1).tobytes()
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {
        "train": (images[:5].reshape(-1, 32, 32, 3), labels[:5].reshape(-1)),
        "test": (images[5], labels[5]),
    }


def _write_mnist(folder: Path, num_train: int = 60, num_test: int = 20) -> None:
    """Write the four IDX files."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for prefix, count in (("train", num_train), ("t10k", num_test)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            data = gzip.compress(header + array.tobytes())
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(data)
