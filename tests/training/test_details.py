"""Details of an evaluation: plain values, and tables for wide and narrow windows."""

import io
import re

import numpy as np
import pytest

import nnxtrain
from nnxtrain.data import Spec
from nnxtrain.tasks.residuals import ResidualSummary
from nnxtrain.training.details import details
from nnxtrain.training.details_table import print_details


def printed(found, width=80):
    stream = io.StringIO()
    print_details(found, stream=stream, width=width)
    return stream.getvalue()


def many(size):
    """A matrix in which class i is right i+1 times, and is taken for the next one size - i times."""
    matrix = np.diag(np.arange(1, size + 1))
    matrix[np.arange(size), (np.arange(size) + 1) % size] += np.arange(size, 0, -1)
    names = tuple(f"class{i}" for i in range(size))
    return details({"confusion_matrix": matrix}, Spec((2,), "float32", size, names))


def test_residuals_become_a_row_for_each_target():
    summary = ResidualSummary(*(np.float32([i, i + 0.5]) for i in range(5)))
    spec = Spec((2,), "float32", target_names=("price", "size"))
    found = details({"residuals": summary, "other": np.eye(2)}, spec)
    assert found["other"] == [[1.0, 0.0], [0.0, 1.0]]
    assert found["targets"][1] == {
        "target": "size", "mae": 0.5, "rmse": 1.5, "r2": 2.5, "bias": 3.5, "max_error": 4.5,
    }  # fmt: skip
    assert re.search(r"size +0\.500 +1\.500 +2\.500 +3\.500 +4\.500", printed(found))


def test_a_matrix_that_fits_is_drawn():
    text = printed(many(5))
    assert re.search(r"^class1 +0 +2 +4 +0 +0$", text, re.M)
    assert "most frequent confusions" not in text


@pytest.mark.parametrize(("size", "width"), [(5, 40), (30, 200)])
def test_one_that_does_not_gives_way_to_the_largest_confusions(size, width):
    text = printed(many(size), width)
    assert "confusion matrix" not in text
    rows = [line.split() for line in text.partition("confusions")[2].splitlines()[3:]]
    expected = [
        [f"class{i}", f"class{i + 1}", str(size - i), f"{(size - i) / (size + 1):.3f}"]
        for i in range(min(size - 1, 10))
    ]
    assert rows[: len(expected)] == expected


def test_of_many_classes_the_worst_are_shown():
    text = printed(many(30), 200)
    assert "the worst 20 of 30 classes by F1" in text
    table = text.partition("confusions")[0]
    assert len(re.findall(r"^class\d+ ", table, re.M)) == 20
    assert "class0 " in table
    assert "class29 " not in table


def test_a_list_of_numbers_is_shown_from_its_first_to_its_last():
    found = details(
        {"loss_by_position": np.linspace(5, 3, 101, dtype=np.float32)}, Spec((2,), "int32")
    )
    rows = [line.split() for line in printed(found).splitlines()[3:]]
    assert len(rows) == 20
    assert (rows[0], rows[-1]) == (["0", "5.000"], ["100", "3.000"])
    one = details({"loss": np.float32([2])}, Spec((2,), "int32"))
    assert printed(one).splitlines()[-1].split() == ["0", "2.000"]


def test_no_confusions():
    names = tuple(map(str, range(25)))
    found = details({"confusion_matrix": np.eye(25, dtype=int)}, Spec((2,), "float32", 25, names))
    assert "no confusions" in printed(found)


def test_a_run_is_looked_at_in_detail(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    np.savez("set.npz", input=x, label=x.argmax(1))
    run = nnxtrain.fit(["data=arrays", "data.train=set.npz", "model=mlp", "model.hidden=[4]", "trainer.epochs=null",
                        "trainer.steps=3", "trainer.batch_size=16", "data.class_names=[a,b,c]"])  # fmt: skip
    plain = nnxtrain.evaluate(run.directory, split="train")
    found = nnxtrain.evaluate(run.directory, split="train", details=True)
    matrix = np.array(found["details"]["confusion_matrix"])
    assert {name: found[name] for name in plain} == plain
    assert matrix.sum() == 47
    assert np.trace(matrix) / 47 == pytest.approx(found["accuracy"])
    assert [row["class"] for row in found["details"]["classes"]] == ["a", "b", "c"]
    assert [row["support"] for row in found["details"]["classes"]] == matrix.sum(1).tolist()
