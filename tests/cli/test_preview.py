"""``nnxtrain data preview``: the examples are those of training, the picture shows them, nothing is lost."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image

from nnxtrain.augment import batch_key
from nnxtrain.cli.main import main
from nnxtrain.config import compose, resolve
from nnxtrain.data import train_batches
from nnxtrain.data.picture import Tile, sheet

STEP = ["trainer.batch_size=10", "seed=3"]


@pytest.fixture
def images(tmp_path) -> list[str]:
    """Overrides for 30 images of 28x28; image i has the grey level 8 i."""
    path = tmp_path / "set.npz"
    levels = 8 * np.arange(30, dtype=np.uint8)
    inputs = np.broadcast_to(levels[:, None, None, None], (30, 28, 28, 1))
    np.savez(path, input=inputs, label=np.arange(30) % 3)
    return ["data=arrays", f"data.train={path}", "data.class_names=[cat,dog,fish]", *STEP]


def opened(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def tiles(path, count: int) -> list[int]:
    """The grey levels in the middle of the first tiles of a sheet, which are 112 pixels wide and 6 or 18 apart."""
    row = opened(path).mean(-1)[100]
    starts = [18 + (112 + 6 + 112 + 18) * (i // 2) + (112 + 6) * (i % 2) for i in range(count)]
    return [int(row[start + 56]) for start in starts]


def test_the_examples_are_those_of_training(images, capsys):
    augment = "augment={_target_: nnxtrain.augment.ColorJitter, brightness: 0.5}"
    assert main(["data", "preview", *images, augment, "examples=3", "step=2"]) == 0
    assert capsys.readouterr().out == "picture: preview.png\n"
    config = compose([*images, augment])
    source = resolve(config.data).load().train
    with train_batches(source, batch_size=10, seed=3, start_step=2) as batches:
        batch = next(batches)
    augmented = jax.jit(resolve(config.augment, spec=source.spec))
    after = augmented(batch_key(3, 2), batch)["input"]
    expected = [
        level
        for row in range(3)
        for level in (int(batch["input"][row, 0, 0, 0]), round(255 * float(after[row, 0, 0, 0])))
    ]
    assert tiles("preview.png", 6) == pytest.approx(expected, abs=1)


def test_without_augmentation_images_stand_alone(images, tmp_path):
    assert main(["data", "preview", *images, "examples=4", "out=a.png"]) == 0
    assert main(["data", "preview", *images, "augment=flip", "examples=4", "out=b.png"]) == 0
    alone, beside = (opened(tmp_path / name) for name in ("a.png", "b.png"))
    assert alone.shape[1] == 18 + 4 * (112 + 18)
    assert beside.shape[1] == 18 + 4 * (112 + 6 + 112 + 18)


def test_nothing_is_overwritten_unasked(images, tmp_path, capsys):
    (tmp_path / "preview.png").write_text("mine")
    assert main(["data", "preview", *images]) == 2
    assert "preview.png exists; give out=OTHER.png, or --force" in capsys.readouterr().err
    assert (tmp_path / "preview.png").read_text() == "mine"
    assert main(["data", "preview", *images, "--force", "examples=2"]) == 0
    assert opened(tmp_path / "preview.png").shape[-1] == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["out=x.jpg"], "out=x.jpg: expected the name of a .png file"),
        (["out=no/x.png"], "out=no/x.png: there is no folder no"),
        (["examples=0"], "examples=0: expected a whole number, at least 1"),
        (["step=first"], "step=first: expected a whole number, at least 0"),
        (["augment=flop"], "no augment 'flop'; did you mean 'flip'?"),
        (["augment.padding=2"], "nnxtrain.augment.Identity has no argument 'padding'"),
    ],
)
def test_bad_input(images, arguments, line, capsys):
    assert main(["data", "preview", *images, *arguments]) == 2
    assert line in capsys.readouterr().err


def test_captions_name_the_parts_of_a_mixture():
    from nnxtrain.cli.preview import _caption
    from nnxtrain.data import Spec

    spec = Spec((2, 2, 1), "uint8", 3, ("cat", "dog", "fish"))
    assert _caption({"label": np.int32(1)}, spec) == "dog"
    assert _caption({"label": np.float32([0.3, 0.0, 0.7])}, spec) == "fish 0.70 / cat 0.30"
    assert _caption({"label": np.float32([0.0, 1.0, 0.0])}, spec) == "dog"
    assert _caption({"label": np.int32(1)}, Spec((2, 2, 1), "uint8", 3)) == "1"
    numbers = Spec((2,), "float32", target_names=("height", "age"))
    assert _caption({"target": np.float32([1.5, 30])}, numbers) == "height 1.5 / age 30"


def test_rows_of_numbers_are_printed(tmp_path, capsys):
    path = tmp_path / "rows.npz"
    np.savez(path, input=np.arange(60, dtype=np.float32).reshape(20, 3), label=np.arange(20) % 2)
    data = ["data=arrays", f"data.train={path}", *STEP, "examples=4"]
    mix = "augment={_target_: nnxtrain.augment.MixUp, alpha: 1.0}"
    assert main(["data", "preview", *data, mix]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "as stored"
    assert lines[6] == "as trained on"
    assert len(lines) == 12
    assert lines[1].split() == ["input", "0", "input", "1", "input", "2", "says"]
    assert main(["data", "preview", *data, "out=x.png"]) == 2
    assert "only images make a picture" in capsys.readouterr().err
    assert main(["data", "preview", *data, "augment=flip"]) == 2
    assert "HorizontalFlip needs images" in capsys.readouterr().err


def test_windows_of_text_are_printed(tmp_path, capsys):
    (tmp_path / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 20)
    (tmp_path / "preview.png").write_text("mine")  # no picture is made, so it is not in the way
    data = ["data=text", "data.train=book.txt", "data.length=16", *STEP, "examples=2"]
    assert main(["data", "preview", *data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "--- 0: 16 tokens"
    assert len(lines[1]) == 16
    assert lines[1].strip() in "the quick brown fox jumps over the lazy dog. " * 2


def test_a_sheet_of_large_and_of_colour_images():
    large = Tile(
        np.zeros((400, 700, 3), np.float32), "a very long caption that no tile can hold " * 3
    )
    image = sheet([[large]], "a title")
    assert image.width < 400
    red = np.zeros((50, 50, 3), np.float32)
    red[..., 0] = 1.0
    picture = np.asarray(sheet([[Tile(red, "red")]] * 30, "many"))
    assert picture.shape[1] <= 1200
    assert (picture == [255, 0, 0]).all(-1).sum() == 30 * 150**2
