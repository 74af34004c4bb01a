from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from nnxtrain.data import Source, TFDSImages
from nnxtrain.errors import InputError

Tiny = Callable[..., TFDSImages]


def everything(source: Source) -> dict[str, np.ndarray]:
    return source.batch(np.arange(len(source)))


def rows(source: Source) -> set[bytes]:
    return {image.tobytes() for image in everything(source)["input"]}


def test_the_three_splits(tiny: Tiny) -> None:
    splits = tiny().load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (360, 40, 100)
    batch = splits.train.batch(np.array([5, 0, 5]))
    assert batch["input"].shape == (3, 32, 32, 3)
    assert batch["input"].dtype == np.uint8
    assert batch["label"].dtype == np.int32
    spec = splits.train.spec
    assert spec == splits.validation.spec == splits.test.spec
    assert (spec.input_shape, spec.input_dtype, spec.num_classes) == ((32, 32, 3), "uint8", 5)
    assert spec.class_names == ("circle", "square", "triangle", "star", "cross")
    for split, each in ((splits.train, 72), (splits.validation, 8), (splits.test, 20)):
        assert np.bincount(everything(split)["label"]).tolist() == [each] * 5


def test_no_example_is_in_two_splits(tiny: Tiny) -> None:
    splits = tiny().load()
    train, validation, test = rows(splits.train), rows(splits.validation), rows(splits.test)
    assert len(train) == 360
    assert not train & validation
    assert not (train | validation) & test


def test_statistics_are_those_of_the_carved_train_split(tiny: Tiny) -> None:
    splits = tiny().load()
    images = everything(splits.train)["input"] / 255
    np.testing.assert_allclose(splits.train.spec.mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(splits.train.spec.std, images.std((0, 1, 2)), rtol=1e-12)
    labels = splits.train.batch(np.arange(len(splits.train)))["label"]
    assert splits.test.spec.class_counts == tuple(np.bincount(labels).tolist())


def test_stock_tfds_reads_what_was_prepared(tiny: Tiny) -> None:
    dataset = tiny(splits={"validation": "train[:1]", "train": "train[1:]"})
    builder = tfds.builder_from_directory(dataset.prepare())
    examples = list(builder.as_data_source("test"))
    ours = everything(dataset.load().test)
    assert [example["label"] for example in examples] == ours["label"].tolist()
    assert np.array_equal(np.stack([example["image"] for example in examples]), ours["input"])


def test_classes_are_kept_and_relabelled_in_the_given_order(tiny: Tiny) -> None:
    whole, part = tiny().load(), tiny(classes=["star", "circle"]).load()
    assert part.train.spec.class_names == ("star", "circle")
    assert part.train.spec.num_classes == 2
    for name in ("train", "validation", "test"):
        before, after = everything(getattr(whole, name)), everything(getattr(part, name))
        for new, old in ((0, 3), (1, 0)):
            assert np.array_equal(
                after["input"][after["label"] == new], before["input"][before["label"] == old]
            )
        assert set(after["label"]) == {0, 1}
    assert part.test.fingerprint != tiny(classes=["circle", "star"]).load().test.fingerprint


def test_resizing_is_pillows_antialiased_bilinear(tiny: Tiny) -> None:
    original = everything(tiny().load().test)["input"]
    for height, width in ((56, 56), (10, 14)):
        splits = tiny(image_size=[height, width]).load()
        assert splits.test.spec.input_shape == (height, width, 3)
        expected = Image.fromarray(original[7]).resize((width, height), Image.Resampling.BILINEAR)
        assert np.array_equal(splits.test.batch(np.array([7]))["input"][0], np.asarray(expected))


def test_split_syntax_reaches_the_examples(tiny: Tiny) -> None:
    dataset = tiny(
        splits={"train": "train[:50%]+test[:10]", "validation": "train[50%:60%]", "test": "test"}
    )
    splits = dataset.load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (210, 40, 100)
    assert len(rows(splits.train) & rows(splits.test)) == 10


def test_validation_depends_on_its_own_seed_only(tiny: Tiny, tiny_root: Path) -> None:
    first, other = tiny().load(), tiny(split_seed=1).load()
    assert rows(first.validation) != rows(other.validation)
    code = (
        "from nnxtrain.data import TFDSImages\n"
        f"splits = TFDSImages(name='shapes5/tiny', data_dir={str(tiny_root)!r}).load()\n"
        "print(splits.train.fingerprint, splits.validation.fingerprint)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    # Nothing else on either stream: tensorflow-datasets is kept quiet.
    assert output.stdout.split() == [first.train.fingerprint, first.validation.fingerprint]
    assert output.stderr == ""


def test_a_larger_fraction_carves_more(tiny: Tiny) -> None:
    assert len(tiny(validation_fraction=0.5).load().validation) == 200


def test_overlapping_train_and_validation_are_refused(tiny: Tiny) -> None:
    dataset = tiny(splits={"train": "train", "validation": "train[:10%]"})
    with pytest.raises(InputError, match="share 40 examples"):
        dataset.load()


def test_a_split_left_without_examples_is_named(tiny: Tiny) -> None:
    dataset = tiny(splits={"test": "test[:1]"}, classes=["circle", "cross"])
    with pytest.raises(InputError, match="no test examples"):
        dataset.load()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cifr10"}, "no data set 'cifr10'; did you mean 'cifar10'"),
        ({"name": "shapes5/huge"}, "shapes5/full, shapes5/tiny"),
        ({"name": "mnist/huge"}, "there is: mnist"),
        ({"classes": ["cat", "dgo"]}, "no class 'dgo'; did you mean 'dog'"),
        ({"classes": ["cat", "xyzzy"]}, "no class 'xyzzy'; classes: airplane, "),
        ({"classes": ["cat", "cat"]}, "'cat' twice"),
        ({"classes": ["cat"]}, "at least two"),
        ({"classes": []}, "at least two"),
        ({"classes": "cat"}, "must be a list"),
        ({"image_size": 32}, r"\[height, width\]"),
        ({"image_size": [32]}, r"\[height, width\]"),
        ({"image_size": [32, 0]}, r"\[height, width\]"),
        ({"image_size": [32.0, 32.0]}, r"\[height, width\]"),
        ({"splits": {"valid": "train"}}, "no part 'valid'; did you mean 'validation'"),
        ({"splits": {"train": None}}, "data.splits.train must be a split"),
        ({"splits": {"train": "trian"}}, "data.splits.train='trian': no split 'trian'; did you"),
        ({"splits": "train"}, "data.splits must map"),
        ({"validation_fraction": 0}, "validation_fraction must lie between 0 and 1, got 0"),
        ({"validation_fraction": "half"}, "validation_fraction must lie .*, got 'half'"),
        ({"split_seed": 1.5}, "split_seed must be a whole number, got 1.5"),
        ({"verify_checksum": "no"}, "verify_checksum must be true or false, got 'no'"),
        ({"local_dir": 5}, "data.local_dir must be a folder, got 5"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TFDSImages(**{"name": "cifar10", **arguments})
    assert "\n" not in str(caught.value)


def test_digits_may_be_numbers() -> None:
    """YAML reads ``classes: [3, 8]`` as numbers."""
    assert TFDSImages(name="mnist", classes=[3, 8]).class_names == ("3", "8")


def test_building_one_imports_nothing_heavy() -> None:
    code = (
        "import sys; from nnxtrain.data import TFDSImages, known_sets, train_batches\n"
        "TFDSImages(name='cifar10', classes=['cat', 'dog']); known_sets()\n"
        "print(*sys.modules.keys() & {'jax', 'tensorflow_datasets', 'grain', 'PIL', 'absl'})"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (output.stdout.strip(), output.stderr) == ("", "")


def test_tensorflow_is_never_imported(tiny: Tiny) -> None:
    tiny().load()
    assert "tensorflow" not in sys.modules


def test_a_data_directory_that_is_filled_need_not_be_writable(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(tiny_root, tmp_path / "data")
    shutil.rmtree(root / "statistics")

    def refuse(path: Path) -> Path:
        raise InputError(f"cannot keep data in {path}")

    for module in ("storage", "prepare", "statistics"):
        monkeypatch.setattr(f"nnxtrain.data.{module}.make_directory", refuse)
    splits = TFDSImages("shapes5/tiny", data_dir=str(root)).load()
    assert (
        splits.train.spec == TFDSImages("shapes5/tiny", data_dir=str(tiny_root)).load().train.spec
    )


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"data\.data_dir=DIR or NNXTRAIN_DATA_DIR"):
        TFDSImages(name="shapes5/tiny", data_dir=str(tmp_path / "file" / "data")).load()


def test_a_damaged_prepared_set_names_its_folder(tmp_path: Path) -> None:
    dataset = TFDSImages(name="shapes5/tiny", data_dir=str(tmp_path))
    folder = dataset.prepare()
    for shard in folder.glob("*.array_record*"):
        shard.unlink()
    with pytest.raises(InputError, match=f"{folder} cannot be read") as caught:
        dataset.load()
    assert "\n" not in str(caught.value)
