from __future__ import annotations

import numpy as np
import pytest

from nnxtrain.data import ArraySource, Spec, Subset
from nnxtrain.errors import InputError


def source(images: np.ndarray, labels: np.ndarray, spec: Spec) -> ArraySource:
    return ArraySource({"input": images, "label": labels}, spec)


def test_a_memory_mapped_file_is_a_source(counting_source: ArraySource, tmp_path: object) -> None:
    path = f"{tmp_path}/images.npy"
    np.save(path, counting_source.arrays["input"])
    mapped = source(
        np.load(path, mmap_mode="r"), counting_source.arrays["label"], counting_source.spec
    )
    ids = np.array([3, 3, 9])
    batch = mapped.batch(ids)
    assert type(batch["input"]) is np.ndarray
    assert np.array_equal(batch["input"], counting_source.batch(ids)["input"])
    assert mapped.fingerprint == counting_source.fingerprint


def test_a_fingerprint_changes_with_pixels_labels_and_order(counting_source: ArraySource) -> None:
    images, labels, spec = (
        counting_source.arrays["input"],
        counting_source.arrays["label"],
        counting_source.spec,
    )
    other_pixel, other_label = images.copy(), labels.copy()
    other_pixel[9, 1, 1, 0] += 1
    other_label[9] = 0
    sources = [
        counting_source,
        source(other_pixel, labels, spec),
        source(images, other_label, spec),
        source(images[::-1], labels[::-1], spec),
        Subset(counting_source, np.arange(10)),
        Subset(counting_source, np.arange(10)[::-1]),
        Subset(counting_source, np.arange(9)),
    ]
    assert len({source.fingerprint for source in sources}) == len(sources)


def test_subsets_nest(counting_source: ArraySource) -> None:
    outer = Subset(Subset(counting_source, np.array([8, 6, 4])), np.array([2, 0]))
    assert outer.batch(np.array([0, 1]))["label"].tolist() == [4, 8]
    assert len(outer) == 2
    assert outer.spec == counting_source.spec


def test_arrays_that_do_not_fit_are_refused(counting_source: ArraySource) -> None:
    images, labels, spec = (
        counting_source.arrays["input"],
        counting_source.arrays["label"],
        counting_source.spec,
    )
    with pytest.raises(InputError, match="10 inputs but 9 labels"):
        source(images, labels[:9], spec)
    with pytest.raises(InputError, match="float32"):
        source(images.astype(np.float32), labels, spec)
    with pytest.raises(InputError, match=r"0\.\.9"):
        Subset(counting_source, np.array([10]))
