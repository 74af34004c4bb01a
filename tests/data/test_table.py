from pathlib import Path

import numpy as np
import pytest

from nnxtrain.data import Table
from nnxtrain.errors import InputError

ROWS = [f"{i},{i / 4},{'abc'[i % 3]},{'yes' if i % 2 else 'no'}" for i in range(60)]


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["size,weight,kind,answer", *ROWS, ""]))
    return str(path)


def everything(splits):
    parts = (splits.train, splits.validation, splits.test)
    batches = [part.batch(np.arange(len(part))) for part in parts]
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


def test_classification(table: str) -> None:
    splits = Table(table, label="answer").load()
    spec = splits.train.spec
    assert (spec.class_names, spec.input_shape, spec.unit) == (("no", "yes"), (5,), "examples")
    rows = everything(splits)
    order = np.argsort(rows["input"][:, 0])
    inputs, labels = rows["input"][order], rows["label"][order]
    numbers = np.arange(60)
    assert inputs[:, 0].tolist() == numbers.tolist()
    assert inputs[:, 1].tolist() == (numbers / 4).tolist()
    assert np.array_equal(inputs[:, 2:], np.eye(3)[numbers % 3])
    assert labels.tolist() == (numbers % 2).tolist()


def test_regression(table: str) -> None:
    splits = Table(table, targets=["weight"], features=["size"]).load()
    assert splits.train.spec.target_names == ("weight",)
    rows = everything(splits)
    assert np.array_equal(rows["target"], rows["input"] / 4)
    assert rows["target"].dtype == np.float32


def test_classes_that_are_numbers_are_sorted_by_size(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("x\ty\n" + "\n".join(f"{i}\t{(10, 9, 100)[i % 3]}" for i in range(60)))
    assert Table(str(path), label="y").load().train.spec.class_names == ("9", "10", "100")


def test_files_for_the_other_splits(table: str, tmp_path: Path) -> None:
    other = tmp_path / "test.csv"
    other.write_text("answer,kind,size,weight\nyes,c,1,2\n")  # the columns in another order
    splits = Table(table, label="answer", test=str(other)).load()
    batch = splits.test.batch(np.array([0]))
    assert (batch["input"].tolist(), batch["label"].tolist()) == ([[1, 2, 0, 0, 1]], [1])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n", {"label": "c"}, "has no column 'c'; it has a, b"),
        ("size,b\n1,2\n", {"label": "sise"}, "has no column 'sise'; did you mean 'size'"),
        ("a,b\n1,2\n3\n", {"label": "b"}, r"t.csv:3 has 1 values, the header 2 names"),
        ("a,b\n1,2\n,3\n", {"label": "b"}, r"row 2 has no 'a'; .*data.ignore=\[a\]"),
        ("a,b\n1,x\n2,\n", {"label": "b"}, "row 2 has no 'b'; fill it in, or leave out the row"),
        (
            "a,b\n1,x\n2,x\n",
            {"label": "b"},
            r"labels of two or more classes are needed, there is one \(x\)",
        ),
        ("a,b\n1,2\nnan,3\n", {"label": "b"}, "row 2: 'a' is to be a number, got 'nan'"),
        ("a,b\n1,x\n2,3\n", {"targets": ["b"]}, "row 1: 'b' is to be a number, got 'x'"),
        ("a,a\n1,x\n", {"label": "a"}, "has two columns 'a'"),
        ("a,b\n", {"label": "b"}, "has no rows"),
        ("", {"label": "b"}, "has no rows"),
        ("b\n1\n", {"label": "b"}, "no column of .* is left to learn from"),
        ("a,b\n1,y\n2,m\n", {"label": "b", "class_names": ["x", "y"]}, "new value 'm'"),
        ("a,b\n1,2\n", {}, "data.label=COLUMN"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content, options, message) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        Table(str(tmp_path / "t.csv"), **options).load()


def test_a_file_that_is_not_there(table: str) -> None:
    dataset = Table(table.replace("table", "tabel"), label="answer")
    with pytest.raises(InputError, match=r"no file .*; did you mean 'table.csv'"):
        dataset.load()
