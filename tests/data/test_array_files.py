from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import ArrayFiles
from nnxtrain.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 4, 5, 3)).astype(np.uint8)
LABELS = np.arange(50) % 5


def saved(folder: Path, save=np.savez, **arrays: np.ndarray) -> str:
    path = folder / "set.npz"
    save(path, **(arrays or {"input": IMAGES, "label": LABELS}))
    return str(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_all_examples_come_back_once(tmp_path: Path, save) -> None:
    splits = ArrayFiles(saved(tmp_path, save)).load()
    seen = [s.batch(np.arange(len(s))) for s in (splits.train, splits.validation, splits.test)]
    assert [len(s["label"]) for s in seen] == [40, 5, 5]
    together = np.concatenate([s["input"] for s in seen])
    assert sorted(x.tobytes() for x in together) == sorted(x.tobytes() for x in IMAGES)
    for s in seen:
        assert (s["label"].dtype, s["input"].dtype) == (np.int32, np.uint8)
        assert np.bincount(s["label"]).tolist() == [len(s["label"]) // 5] * 5
        for image, label in zip(s["input"], s["label"]):
            assert LABELS[(image == IMAGES).all((1, 2, 3))].tolist() == [label]


def test_an_uncompressed_npz_is_mapped_not_read(tmp_path: Path) -> None:
    source = ArrayFiles(saved(tmp_path)).load().train.source  # type: ignore[attr-defined]
    base = source.arrays["input"]
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_statistics_are_those_of_the_train_split(tmp_path: Path) -> None:
    splits = ArrayFiles(saved(tmp_path)).load()
    images = splits.train.batch(np.arange(len(splits.train)))["input"] / 255
    np.testing.assert_allclose(splits.train.spec.mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(splits.train.spec.std, images.std((0, 1, 2)), rtol=1e-12)


def test_classes_are_counted_in_the_train_split(tmp_path: Path) -> None:
    splits = ArrayFiles(saved(tmp_path), class_names=list("abcdef")).load()
    labels = splits.train.batch(np.arange(len(splits.train)))["label"]
    assert splits.test.spec.class_counts == (*np.bincount(labels).tolist(), 0)


def test_tokens_and_lengths(tmp_path: Path) -> None:
    tokens = RNG.integers(0, 9, (50, 7))
    path = saved(tmp_path, input=tokens, label=LABELS, length=np.arange(50) % 7 + 1)
    train = ArrayFiles(path, vocab_size=9).load().train
    batch = train.batch(np.arange(3))
    assert {name: array.dtype for name, array in batch.items()} == dict.fromkeys(
        ("input", "label", "length"), np.int32
    )
    spec = train.spec
    assert (spec.input_dtype, spec.vocab_size, spec.mean, spec.unit) == ("int32", 9, (), "sequences")  # fmt: skip
    with pytest.raises(
        InputError, match=r"tokens are 0 to 7 by data\.vocab_size, and there are 0 to 8"
    ):
        ArrayFiles(path, vocab_size=8).load()
    path = saved(tmp_path, input=IMAGES[:, 0].astype(np.float32), label=LABELS)
    with pytest.raises(InputError, match=r"whole numbers \[N, length\], got float32\[50, 5, 3\]"):
        ArrayFiles(path, vocab_size=9).load()
    path = saved(tmp_path, input=tokens, label=LABELS, length=np.arange(50))
    with pytest.raises(InputError, match="lengths must be whole numbers from 1 to 7"):
        ArrayFiles(path, vocab_size=9).load()


def test_statistics_of_large_numbers(tmp_path: Path) -> None:
    features = (1e6 + RNG.normal(size=(5000, 3)) * [1, 2, 0]).astype(np.float32)
    path = saved(tmp_path, input=features, target=features[:, 0])
    spec = ArrayFiles(path).load().train.spec
    assert (spec.target_names, spec.num_classes) == (("0",), None)
    np.testing.assert_allclose(spec.std, [1, 2, 1], rtol=0.05)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, bool])
def test_other_numbers_become_float32(tmp_path: Path, dtype) -> None:
    features = RNG.integers(0, 5, (50, 3)).astype(dtype)
    train = ArrayFiles(saved(tmp_path, input=features, label=LABELS)).load().train
    batch = train.batch(np.arange(len(train)))["input"]
    assert batch.dtype == np.float32
    np.testing.assert_allclose(train.spec.mean, batch.mean(0), rtol=1e-6)


def test_files_for_each_array_and_each_split(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    np.savez(tmp_path / "rest.npz", y=LABELS, x_test=IMAGES[:7], y_test=LABELS[:7])
    rest = str(tmp_path / "rest.npz")
    splits = ArrayFiles(
        train={"input": str(tmp_path / "x.npy"), "label": f"{rest}:y"},
        test={"input": f"{rest}:x_test", "label": f"{rest}:y_test"},
        class_names=["a", "b", "c", "d", "e"],
    ).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 5, 7)
    assert np.array_equal(splits.test.batch(np.arange(7))["input"], IMAGES[:7])
    assert splits.test.spec.class_names == ("a", "b", "c", "d", "e")


def test_the_test_split_does_not_depend_on_the_validation_share(tmp_path: Path) -> None:
    path = saved(tmp_path)
    tests = [ArrayFiles(path, validation_fraction=f).load().test for f in (0.1, 0.4)]
    assert tests[0].fingerprint == tests[1].fingerprint


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": IMAGES, "label": LABELS}, "has no array 'input'"),
        ({"input": np.array(["a"] * 50), "label": LABELS}, "input must be numbers, got <U1"),
        ({"input": IMAGES}, "neither 'label' nor 'target'"),
        ({"input": IMAGES, "label": LABELS[:9]}, "50 inputs but 9 labels"),
        ({"input": IMAGES, "label": LABELS / 1}, "labels must be whole numbers"),
        ({"input": IMAGES, "label": LABELS - 1}, "label -1"),
        ({"input": IMAGES, "label": LABELS * 0}, "two or more classes are needed"),
        (
            {"input": IMAGES[:0], "label": LABELS[:0]},
            r"input has no rows, it is uint8\[0, 4, 5, 3\]",
        ),
        ({"input": IMAGES, "label": np.array(3)}, r"label has no rows, it is int64\[\]"),
        ({"input": IMAGES, "target": np.array(["a"] * 50)}, "target must be numbers, got <U1"),
        (
            {"input": IMAGES, "target": IMAGES},
            r"targets are numbers \[N\] or \[N, targets\], got \[50, 4, 5, 3\]",
        ),
        ({"input": IMAGES, "label": np.array([{}] * 50)}, "cannot be read|Python objects"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ArrayFiles(saved(tmp_path, **arrays)).load()


def test_labels_beyond_the_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label 4, but there are 4 classes"):
        ArrayFiles(saved(tmp_path), class_names=list("abcd")).load()


def test_features_that_are_not_numbers(tmp_path: Path) -> None:
    features = np.zeros((50, 2), np.float32)
    features[3, 1] = np.nan
    with pytest.raises(InputError, match="input of example 3 is not finite"):
        ArrayFiles(saved(tmp_path, input=features, label=LABELS)).load()


def test_a_number_for_each_example_is_a_column(tmp_path: Path) -> None:
    path = saved(tmp_path, input=np.arange(50), target=np.arange(50.0))
    train = ArrayFiles(path).load().train
    batch = train.batch(np.arange(3))
    np.testing.assert_array_equal(batch["input"], batch["target"])
    assert (batch["input"].shape, train.spec.runtime_values()["in_features"]) == ((3, 1), 1)


def test_files_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(InputError, match=r"no file .*sets.npz.*set.npz"):
        ArrayFiles(str(tmp_path / "sets.npz")).load()
    with pytest.raises(InputError, match=r"data.train.input: .* is a folder; name a file in it"):
        ArrayFiles({"input": str(tmp_path)}).load()
    (tmp_path / "bad.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match=r"bad.npz is not a whole .npz file"):
        ArrayFiles(str(tmp_path / "bad.npz")).load()
    path = str(tmp_path / "set.npz")
    lable = ArrayFiles({"input": f"{path}:input", "label": f"{path}:lable"})
    with pytest.raises(InputError, match=r"no array 'lable'; did you mean 'label'"):
        lable.load()
