"""predict: splits, image files, folders, arrays and tables; compared with the split's own numbers and with NumPy's."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nnxtrain
from nnxtrain.cli.main import main
from nnxtrain.data import ArraySource, Spec
from nnxtrain.errors import InputError
from nnxtrain.tasks import Classification
from nnxtrain.training.predict import predict_source
from nnxtrain.training.prediction_table import columns
from nnxtrain.training.restore import restore_model

RNG = np.random.default_rng(0)
SHORT = ["trainer.epochs=null", "trainer.steps=4", "trainer.batch_size=8"]
LINEAR = ["model=mlp", "model.hidden=[]"]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A run on a folder of images of different sizes, which are cut to squares."""
    root = tmp_path_factory.mktemp("images")
    for split, count in (("train", 12), ("test", 7)):
        for name, tint in (("cold", 2), ("warm", 0)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = RNG.integers(0, 200, (9 + number, 14, 3), dtype=np.uint8)
                pixels[..., tint] += 55
                Image.fromarray(pixels).save(folder / f"{number:02}.png")
    run = nnxtrain.fit(["data=image_folder", f"data.train={root}/train", f"data.test={root}/test", f"data.data_dir={root}",
                        "data.image_size=[6,8]", "data.resize=crop", "trainer.ema=0.5",
                        f"runs_dir={root}/runs", *LINEAR, *SHORT])  # fmt: skip
    return root, run.directory


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A run on a table with a column of words."""
    root = tmp_path_factory.mktemp("flowers")
    rows = [f"{RNG.normal():.3f},{'wet' if i % 3 else 'dry'},{'red' if i % 2 else 'blue'}" for i in range(60)]  # fmt: skip
    (root / "train.csv").write_text("\n".join(["size,soil,kind", *rows]))
    run = nnxtrain.fit(["data=table", f"data.train={root}/train.csv", "data.label=kind",
                        f"runs_dir={root}/runs", *LINEAR, *SHORT])  # fmt: skip
    return root, run.directory


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """A regression with two targets."""
    root = tmp_path_factory.mktemp("prices")
    rows = [",".join(f"{x:.3f}" for x in RNG.normal(size=4)) for _ in range(60)]
    (root / "train.csv").write_text("\n".join(["a,b,rent,price", *rows]))
    run = nnxtrain.fit(["data=table", f"data.train={root}/train.csv", "data.targets=[rent,price]", "task=regression",
                        "model=linear_regression", f"runs_dir={root}/runs", *SHORT])  # fmt: skip
    return root, run.directory


def linear(run, inputs):
    """What the run's one linear layer makes of inputs, by NumPy."""
    session, state, _ = restore_model(run)
    spec = session.splits.train.spec
    x = inputs.astype(np.float64) / (255 if inputs.dtype == np.uint8 else 1)
    x = ((x - spec.mean) / spec.std).reshape(len(x), -1)
    (layer,) = [m for _, m in state.averaged.iter_modules() if hasattr(m, "kernel")]
    return x @ np.asarray(layer.kernel.value) + np.asarray(layer.bias.value)


def test_a_split_in_order_with_the_truth(images):
    _, run = images
    found = nnxtrain.predict(run)
    session = restore_model(run).session
    batch = session.splits.test.batch(np.arange(14))
    logits = linear(run, batch["input"])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found.arrays["probabilities"], p, rtol=1e-4)
    assert found.arrays["label"].tolist() == batch["label"].tolist()
    table = found.columns()
    assert list(table) == ["id", "prediction", "probability", "label", "correct"]
    assert table["id"] == list(range(14))
    assert table["prediction"] == [("cold", "warm")[k] for k in p.argmax(1)]
    assert np.mean(table["correct"]) == pytest.approx(nnxtrain.evaluate(run)["accuracy"])


def test_files_and_folders_are_seen_as_the_split_was(images):
    root, run = images
    of_split = nnxtrain.predict(run)
    folder = nnxtrain.predict(run, folder=root / "test")
    names = [f"{root}/test/{kind}/{n:02}.png" for kind in ("cold", "warm") for n in range(7)]
    assert folder.names == names
    np.testing.assert_array_equal(folder.arrays["probabilities"], of_split.arrays["probabilities"])
    some = nnxtrain.predict(run, files=[names[9], str(root / "test/cold/*.png")])
    assert some.names == [names[9], *names[:7]]
    np.testing.assert_allclose(
        some.arrays["probabilities"], of_split.arrays["probabilities"][[9, *range(7)]], rtol=1e-6
    )
    assert next(some.rows()).keys() == {"file", "prediction", "probability"}


def test_arrays_in_files_and_in_memory(images, tmp_path):
    _, run = images
    pixels = restore_model(run).session.splits.test.batch(np.arange(5))["input"]
    np.save(tmp_path / "five.npy", pixels)
    np.save(tmp_path / "one.npy", pixels[0])
    found = nnxtrain.predict(run, files=[tmp_path / "five.npy", tmp_path / "one.npy"])
    assert found.names == [*(f"{tmp_path}/five.npy:{i}" for i in range(5)), f"{tmp_path}/one.npy:0"]
    expected = nnxtrain.predict(run, inputs=pixels).arrays["probabilities"]
    np.testing.assert_allclose(found.arrays["probabilities"], [*expected, expected[0]], rtol=1e-6)


def test_rows_of_another_table(flowers, tmp_path):
    root, run = flowers
    lines = (root / "train.csv").read_text().splitlines()
    (tmp_path / "with.csv").write_text("\n".join(lines[:5]))
    (tmp_path / "without.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines[:5]))
    known = nnxtrain.predict(run, files=[tmp_path / "with.csv"]).columns(probabilities=True)
    assert known["label"] == [line.rpartition(",")[2] for line in lines[1:5]]
    values = [line.split(",") for line in lines[1:5]]
    x = np.array([[float(v[0]), v[1] == "dry", v[1] == "wet"] for v in values])
    logits = linear(run, x)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(known["probability_red"], p[:, 1], rtol=1e-4)
    new = nnxtrain.predict(run, files=[tmp_path / "without.csv"])
    assert new.columns()["probability"] == known["probability"]
    assert new.names[3] == f"{tmp_path}/without.csv:4"
    assert "label" not in new.columns()


def test_numbers_have_the_names_of_their_targets(prices, tmp_path):
    _, run = prices
    (tmp_path / "new.csv").write_text("b,a\n1.5,-0.5\n0,2\n")
    found = nnxtrain.predict(run, files=[tmp_path / "new.csv"]).columns()
    assert list(found) == ["file", "rent", "price"]
    expected = linear(run, np.array([[-0.5, 1.5], [2, 0]]))
    np.testing.assert_allclose(found["rent"], expected[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found["price"], expected[:, 1], rtol=1e-4)
    of_split = nnxtrain.predict(run, split="validation")
    assert list(of_split.columns()) == ["id", "rent", "price", "true_rent", "true_price"]
    mae = np.abs(of_split.arrays["prediction"] - of_split.arrays["target"]).mean()
    assert nnxtrain.evaluate(run, split="validation")["mae"] == pytest.approx(mae)


@pytest.mark.parametrize("batch_size", [1, 4, 33])
def test_every_example_once_whatever_the_batch_size(batch_size):
    spec = Spec((3,), "float32", 3, ("a", "b", "c"))
    x = RNG.normal(size=(33, 3)).astype(np.float32)
    source = ArraySource({"input": x, "label": np.arange(33) % 3}, spec)

    class Same(nnxtrain.nnx.Module):
        def __call__(self, x):
            return x

    found = predict_source(Classification(spec=spec), Same(), source, batch_size=batch_size)
    assert found["prediction"].tolist() == x.argmax(1).tolist()
    assert found["label"].tolist() == (np.arange(33) % 3).tolist()


def test_several_values_an_example_are_numbered():
    arrays = {"prediction": np.array([[1, 2], [3, 4]]), "label": np.array([[1, 2], [3, 5]])}
    assert columns(None, arrays, Spec((2,), "int32", vocab_size=9)) == {
        "id": [0, 1], "prediction_0": [1, 3], "prediction_1": [2, 4], "label_0": [1, 3], "label_1": [2, 5],
    }  # fmt: skip


def test_the_command_writes_what_python_gives(images, tmp_path, monkeypatch, capsys):
    root, run = images
    monkeypatch.chdir(tmp_path)
    table = nnxtrain.predict(run, folder=root / "test/warm").columns(probabilities=True)
    expected = [dict(zip(table, values)) for values in zip(*table.values())]
    command = ["predict", f"run={run}", f"folder={root}/test/warm", "--probabilities"]
    assert main([*command, "out=p.csv"]) == 0
    assert capsys.readouterr().out.startswith("7 predictions of step ")
    with open("p.csv") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{k: str(v) for k, v in row.items()} for row in expected]
    assert main([*command, "out=p.jsonl"]) == 0
    assert [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()] == expected
    capsys.readouterr()
    assert main([*command, "--jsonl"]) == 0
    assert capsys.readouterr().out == Path("p.jsonl").read_text()

    Path("p.csv").write_text("precious")
    assert main([*command, "out=p.csv"]) == 2
    assert "p.csv exists already; --force replaces it" in capsys.readouterr().err
    assert Path("p.csv").read_text() == "precious"
    assert main([*command, "out=p.csv", "--force"]) == 0
    assert len(Path("p.csv").read_text().splitlines()) == 8
    assert sorted(p.name for p in Path().iterdir()) == ["p.csv", "p.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["files=cta.png"], "files=cta.png: there is no such file; did you mean 'cat.png'?"),
        (["files=*.gif"], "files=*.gif: no file matches"),
        (["files=empty"], "files=empty is a folder; give folder=empty"),
        (["folder=empty"], "folder=empty: no images in it"),
        (["folder=emtpy"], "folder=emtpy: there is no such folder; did you mean 'empty'?"),
        (["files=bad.png"], "bad.png is not a whole image"),
        (["files=notes.txt"], "notes.txt: expected images (.jpg, "),
        (["files=rows.npy"], "rows.npy is float64[2, 3]; the run's data are uint8[N, 6, 8, 3]"),
        (["files=floats.npy"], "floats.npy: expected whole numbers from 0 to 255, uint8[N, 6, 8, 3]"),
        (["split=test", "folder=empty"], "predict: give one of split and folder"),
        (["out=p.txt"], "out=p.txt: expected a .csv or .jsonl file, or -"),
        (["out=nowhere/p.csv"], "out=nowhere/p.csv: its folder does not exist"),
        (["checkpoint=bset"], "checkpoint=bset: choose best, last or a step; did you mean 'best'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_is_said(
    images, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4)).save("cat.png")
    Path("bad.png").write_bytes(b"nothing")
    Path("notes.txt").write_text("a")
    Path("empty").mkdir()
    np.save("rows.npy", np.zeros((2, 3)))
    np.save("floats.npy", np.full((2, 6, 8, 3), 0.5))
    assert main(["predict", f"run={images[1]}", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_table_must_have_the_columns(flowers, tmp_path):
    _, run = flowers
    (tmp_path / "new.csv").write_text("size\n1\n")
    with pytest.raises(InputError, match=r"there is no column 'soil'; it has size"):
        nnxtrain.predict(run, files=[tmp_path / "new.csv"])
    with pytest.raises(
        InputError, match=r"inputs is float64\[2\]; the run's data are float32\[N, 3\]"
    ):
        nnxtrain.predict(run, inputs=np.zeros(2))
