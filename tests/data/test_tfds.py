"""Sets that tensorflow-datasets prepared elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from nnxtrain.data import TFDS, TFDSImages
from nnxtrain.errors import InputError

RNG = np.random.default_rng(0)
SIZES = [(8, 6), (5, 7), (9, 9), (6, 6)]


def prepare(folder: Path, features: dict, examples: dict[str, list[dict]]) -> None:
    """A set of the given features, as another program would leave it."""

    class Pets(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager: object) -> dict:
            return {name: list(enumerate(some)) for name, some in examples.items()}

        def _generate_examples(self) -> None:
            raise NotImplementedError

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder = Pets(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare(download_config=config)


def image(number: int, mode: str = "RGB") -> Image.Image:
    shape = (*SIZES[number % len(SIZES)], len(mode))
    return Image.fromarray(RNG.integers(0, 256, shape).astype(np.uint8).squeeze())


LABEL = tfds.features.ClassLabel(names=["ant", "bee"])


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Image.Image]]:
    """Twenty images of different sizes to train, four to test, and four without labels."""
    folder = tmp_path_factory.mktemp("tfds")
    images = [image(number) for number in range(28)]
    rows = [{"image": x, "label": i % 2, "id": f"{i}"} for i, x in enumerate(images)]
    features = {"image": tfds.features.Image(), "label": LABEL, "id": tfds.features.Text()}
    secret = [row | {"label": -1} for row in rows[24:]]
    prepare(folder, features, {"train": rows[:20], "test": rows[20:24], "secret": secret})
    return folder, images


def load(folder: Path, root: Path, name: str = "pets", **options):
    return TFDS(name, tfds_dir=str(folder), data_dir=str(root), **options).load()


def test_images_of_different_sizes_come_back_resized(pets, tmp_path: Path) -> None:
    folder, images = pets
    splits = load(folder, tmp_path, image_size=[4, 5])
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [18, 2, 4]
    assert splits.train.spec.class_names == ("ant", "bee")
    expected = {
        np.asarray(x.resize((5, 4), Image.Resampling.BILINEAR)).tobytes(): i % 2
        for i, x in enumerate(images[:24])
    }
    found = {}
    for source in (splits.train, splits.validation, splits.test):
        batch = source.batch(np.arange(len(source)))
        found |= {x.tobytes(): label for x, label in zip(batch["input"], batch["label"])}
    assert found == expected
    assert "tensorflow" not in sys.modules


def test_classes_and_splits(pets, tmp_path: Path) -> None:
    splits = load(
        pets[0],
        tmp_path,
        "pets:1.0.0",
        image_size=[4, 4],
        classes=["bee", "ant"],
        splits={"train": "train[:50%]", "validation": "train[50%:]", "test": "test"},
    )
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [10, 10, 4]
    assert splits.train.spec.class_names == ("bee", "ant")


def test_our_own_sets_are_read_too(tiny_root: Path, tmp_path: Path) -> None:
    ours = TFDSImages("shapes5/tiny", data_dir=str(tiny_root)).load()
    again = load(tiny_root / "prepared", tmp_path, "shapes5/tiny")
    ids = np.arange(100)
    for name, array in ours.test.batch(ids).items():
        assert np.array_equal(again.test.batch(ids)[name], array)
    assert again.train.spec == ours.train.spec


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pets", {}, r"images of different sizes; give data.image_size=\[HEIGHT,WIDTH\]"),
        ("bean", {}, "knows no 'bean', and .* has none prepared; did you mean 'beans'"),
        ("beans", {}, r"beans is not prepared in .*; .* tfds build beans --file_format=array_rec"),
        ("pets/big", {}, "knows no 'pets/big'"),
        ("cifar10:9.0.0", {}, "data.name=cifar10:9.0.0: .* cannot be loaded at version 9.0.0"),
        ("a b", {}, "data.name=a b: Parsing builder name"),
        (
            "pets",
            {"image_size": [4, 4], "splits": {"test": "valid"}},
            "data.splits.test='valid': no split 'valid'; splits: train, test, secret|secret, te",
        ),
        (
            "pets",
            {"image_size": [4, 4], "splits": {"test": "secret"}},
            "an example of test of pets has the label -1, which is none of its 2 classes",
        ),
        ("pets", {"image_size": [4, 4], "classes": ["ant", "bea"]}, "did you mean 'bee'"),
    ],
)
def test_what_cannot_be_read(pets, tmp_path: Path, name: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(pets[0], tmp_path, name, **options)
    assert "\n" not in str(caught.value)


def test_other_features(tmp_path: Path) -> None:
    some = [{"image": image(0), "caption": "an ant"}] * 3
    features = {"image": tfds.features.Image(), "caption": tfds.features.Text()}
    prepare(tmp_path, features, {"train": some})
    with pytest.raises(
        InputError, match=r"no feature label \(ClassLabel\); it has .*caption \(Text\)"
    ):
        load(tmp_path, tmp_path)


def test_a_format_without_random_access(pets, tmp_path: Path) -> None:
    shutil.copytree(pets[0] / "pets", tmp_path / "pets")
    path = tmp_path / "pets/1.0.0/dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(InputError, match=r"1.0.0 is in the format tfrecord, which only TensorFlow"):
        load(tmp_path, tmp_path)


def test_a_damaged_set(pets, tmp_path: Path) -> None:
    shutil.copytree(pets[0] / "pets", tmp_path / "pets")
    for shard in (tmp_path / "pets/1.0.0").glob("*.array_record*"):
        shard.unlink()
    with pytest.raises(InputError, match=r"1.0.0 cannot be read .*tfds build pets") as caught:
        load(tmp_path, tmp_path / "data", image_size=[4, 4])
    assert "\n" not in str(caught.value)
