"""Folders of images: what is decoded, when it is decoded anew, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from nnxtrain.cli.main import main
from nnxtrain.data import ImageFolder, Source
from nnxtrain.errors import InputError

RNG = np.random.default_rng(0)
CLASSES = ("ant", "bee", "cat")


def draw(path: Path, size: tuple[int, int] = (6, 8), mode: str = "RGB", **options) -> np.ndarray:
    """Write an image of random pixels, (height, width); return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*size, len(mode))).astype(np.uint8)
    Image.fromarray(pixels.squeeze()).save(path, **options)
    return pixels


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten images of each class in train/, three in held/."""
    for split, count in (("train", 10), ("held", 3)):
        for name in CLASSES:
            for number in range(count):
                draw(tmp_path / split / name / f"{number}.png")
    return tmp_path


def folder(root: Path, **options) -> ImageFolder:
    return ImageFolder(str(root / "train"), data_dir=str(root / "data"), **options)


def everything(source: Source) -> dict[str, np.ndarray]:
    return source.batch(np.arange(len(source)))


def entries(root: Path) -> list[Path]:
    return sorted((root / "data" / "decoded").iterdir())


def test_each_image_comes_back_with_its_class(pets: Path) -> None:
    splits = folder(pets).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [24, 3, 3]
    spec = splits.train.spec
    assert (spec.input_shape, spec.input_dtype, spec.class_names) == ((6, 8, 3), "uint8", CLASSES)
    expected = {
        np.asarray(Image.open(path)).tobytes(): CLASSES.index(path.parent.name)
        for path in (pets / "train").rglob("*.png")
    }
    parts = [everything(s) for s in (splits.train, splits.validation, splits.test)]
    found = [
        (image.tobytes(), label) for p in parts for image, label in zip(p["input"], p["label"])
    ]
    assert len(found) == 30
    assert dict(found) == expected
    assert [np.bincount(p["label"]).tolist() for p in parts] == [[8] * 3, [1] * 3, [1] * 3]
    images = parts[0]["input"] / 255
    np.testing.assert_allclose(spec.mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(spec.std, images.std((0, 1, 2)), rtol=1e-12)


def test_given_splits_are_kept_whole(pets: Path) -> None:
    held = str(pets / "held")
    splits = folder(pets, validation=held, test=held).load()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [30, 9, 9]
    assert np.array_equal(everything(splits.validation)["input"], everything(splits.test)["input"])
    assert everything(splits.test)["label"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    only_test = folder(pets, test=held).load()
    assert [len(s) for s in (only_test.train, only_test.validation)] == [27, 3]


def test_an_epoch_decodes_nothing(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = folder(pets).load()
    monkeypatch.setattr("nnxtrain.data.image_files.read_image", None)
    monkeypatch.setattr("nnxtrain.data.image_folder.read_image", lambda *_: Image.new("L", (8, 6)))
    assert folder(pets).load().train.fingerprint == first.train.fingerprint
    base = first.train.source.arrays["input"]  # type: ignore[attr-defined]
    while not isinstance(base, np.memmap):
        base = base.base
    assert [f"{pets.name}-train-6x8-" in entry.name for entry in entries(pets)] == [True]


def test_changed_files_and_options_are_decoded_anew(pets: Path) -> None:
    seen = {folder(pets).load().train.fingerprint}

    def changes(**options) -> bool:
        before = len(entries(pets))
        seen.add(folder(pets, **options).load().train.fingerprint)
        return len(entries(pets)) == before + 1

    assert changes(image_size=[4, 4])
    assert changes(image_size=[4, 4], resize="crop")
    assert changes(mode="L")
    draw(pets / "train/ant/new.png")
    assert changes()
    pixels = draw(pets / "train/ant/0.png")
    os.utime(pets / "train/ant/0.png", ns=(0, 0))
    assert changes()
    assert len(seen) == 6
    images = np.load(folder(pets).prepare() / "images.npy")
    assert np.array_equal(images[0], pixels)


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_resizing_is_pillows_antialiased_bilinear(tmp_path: Path, resize, mode) -> None:
    for name in CLASSES:
        for number in range(4):
            draw(tmp_path / "train" / name / f"{number}.png", (20 + number, 31))
    images = np.load(
        folder(tmp_path, image_size=[9, 7], resize=resize, mode=mode).prepare() / "images.npy"
    )
    assert images.shape == (12, 9, 7, len(mode))
    original = Image.open(tmp_path / "train/ant/3.png").convert(mode)
    if resize == "squash":
        expected = original.resize((7, 9), Image.Resampling.BILINEAR)
    else:  # 9:7 of 23 rows are 17.9 columns, the middle ones of 31
        left = (31 - 23 * 7 / 9) / 2
        box = (left, 0, 31 - left, 23)
        expected = original.resize((7, 9), Image.Resampling.BILINEAR, box=box)
        assert np.array_equal(np.asarray(expected), np.asarray(ImageOps.fit(original, (7, 9), 2)))
    assert np.array_equal(images[3], np.asarray(expected).reshape(9, 7, -1))


def test_kinds_of_images(tmp_path: Path) -> None:
    """Turned photographs, palettes, grey, transparent and deep images become what one sees of them."""
    ant, bee = tmp_path / "train/ant", tmp_path / "train/bee/deeper/still"
    grey = draw(ant / "1.png", mode="L")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    draw(ant / "2.JPG", (8, 6), exif=exif)
    clear = draw(ant / "3.webp", mode="RGBA", lossless=True, exact=True)
    deep = RNG.integers(0, 2**16, (6, 8)).astype(np.uint16)
    bee.mkdir(parents=True)
    Image.fromarray(deep).save(bee / "1.png")
    palette = Image.fromarray(grey[..., 0]).quantize(4)
    palette.save(bee / "2.gif", transparency=0)
    draw(bee / "3.bmp")
    for name in ("notes.txt", ".hidden.png"):
        (ant / name).write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    dataset = folder(tmp_path)
    images = np.load(dataset.prepare() / "images.npy")
    assert len(images) == 6
    assert np.array_equal(images[0], np.repeat(grey, 3, -1))
    turned = Image.open(ant / "2.JPG").transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(images[1], np.asarray(turned))
    assert np.array_equal(images[2], clear[..., :3])
    assert np.array_equal(images[3], np.repeat(deep[..., None] >> 8, 3, -1))
    assert np.array_equal(images[4], np.asarray(palette.convert("RGB")))
    assert dataset.load().train.spec.class_names == ("ant", "bee")


def test_classes_are_kept_in_the_given_order(pets: Path) -> None:
    whole, part = folder(pets).load(), folder(pets, classes=["cat", "ant"]).load()
    assert len(entries(pets)) == 1
    assert part.train.spec.class_names == ("cat", "ant")
    before, after = everything(whole.test), everything(part.test)
    for new, old in ((0, 2), (1, 0)):
        assert np.array_equal(
            after["input"][after["label"] == new], before["input"][before["label"] == old]
        )
    with pytest.raises(InputError, match="has no class 'dog'; classes: ant, bee, cat"):
        folder(pets, classes=["dog", "cat"]).load()


def test_a_damaged_file_is_named_and_nothing_is_kept(pets: Path) -> None:
    path = pets / "train/bee/4.png"
    for content in (path.read_bytes()[:60], b"", b"not an image"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{path} is not a whole image .*mend or remove it"):
            folder(pets).load()
        assert entries(pets) == []


def test_sizes_that_vary_need_a_size(pets: Path) -> None:
    draw(pets / "train/bee/4.png", (7, 8))
    message = r"bee/4.png has 7x8 pixels, and .*ant/0.png 6x8; .*data.image_size=\[6,8\]"
    with pytest.raises(InputError, match=message):
        folder(pets).load()
    assert folder(pets, image_size=[6, 8]).load().train.spec.input_shape == (6, 8, 3)


def test_classes_differ_between_splits(pets: Path) -> None:
    (pets / "held/bee").rename(pets / "held/bees")
    with pytest.raises(InputError, match=r"'bee' is in .*train and not in .*; did you mean 'bees'"):
        folder(pets, test=str(pets / "held")).load()
    shutil.rmtree(pets / "held/bees")
    with pytest.raises(InputError, match=r"data.test: the sub-folder 'bee' is in .*train and not"):
        folder(pets, test=str(pets / "held")).load()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ((), "data.train: cannot look into .*train: No such file"),
        (("trian/one.png",), "cannot look into .*train: No such .*; did you mean 'trian'"),
        (("train/one.png",), "needs a sub-folder for each of two or more classes, it has none"),
        (("train/ant/1.png",), "of two or more classes, it has ant"),
        (("train/ant/1.png", "train/bee/1.txt"), "train/bee has no images"),
        (("train/ant/1.txt", "train/bee/1.txt"), r"train has no images \(.jpg, "),
        (("train/test/1.png", "train/train/1.png"), "has splits in it .*data.train=.*train/train,"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, make: tuple[str, ...], message: str) -> None:
    for name in make:
        if name.endswith("png"):
            draw(tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        folder(tmp_path).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 32}, r"data.image_size must be \[height, width\]"),
        ({"resize": "cropped"}, "data.resize must be squash or crop, .*did you mean 'crop'"),
        ({"mode": "RGBA"}, "data.mode must be RGB or L, got 'RGBA'"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        folder(tmp_path, **options)


def test_a_disk_without_room(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(pets)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"take 0.0 GiB and .*decoded has 0.0 GiB free"):
        folder(pets).load()


def test_fit(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets)
    monkeypatch.setenv("NNXTRAIN_DATA_DIR", "data")
    arguments = ["data=image_folder", "data.train=train", "data.test=held", "model=mlp"]
    steps = ["trainer.steps=2", "trainer.epochs=null", "trainer.batch_size=8", "model.hidden=[4]"]
    assert main(["fit", *arguments, *steps]) == 0
    (run,) = (path for path in Path("runs").iterdir())
    assert (run / "metrics.jsonl").read_text().count('"val"') >= 1
    draw(Path("train/ant/0.png")).tofile("train/ant/1.png")
    assert main(["fit", *arguments, *steps]) == 2
