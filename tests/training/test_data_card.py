"""What a run keeps of its data: read back to the same, and used where the data is gone or has changed."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnxtrain
from nnxtrain.cli.main import main
from nnxtrain.data import Spec
from nnxtrain.data.tokenizers import ByteTokenizer, CharTokenizer
from nnxtrain.errors import InputError
from nnxtrain.training.data_card import DataCard

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple)
NAMES = st.lists(st.text(), max_size=3).map(tuple)
CHARACTERS = st.sampled_from(["", "ab", 'é\n\ud800\0"'])
SPECS = st.builds(
    Spec,
    st.lists(st.integers(1, 99), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["uint8", "float32", "int32"]),
    st.none() | st.integers(1, 9),
    NAMES,
    NUMBERS,
    NUMBERS,
    st.none() | st.integers(1, 9),
    NAMES,
    st.none() | st.just(ByteTokenizer()) | st.builds(CharTokenizer, CHARACTERS, st.booleans()),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
)  # fmt: skip
SPLITS = ("train", "validation", "test")


def card_of(spec):
    return DataCard(spec, dict.fromkeys(SPLITS, 3), dict.fromkeys(SPLITS, "1f"))


@given(SPECS)
def test_a_card_is_read_back_to_the_same(spec):
    assert DataCard.from_json(card_of(spec).to_json()) == card_of(spec)


def test_a_tokenizer_of_values_comes_back_if_its_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "words.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Words:\n"
        "    known: list\n"
        "    vocab_size = 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from words import Words

    spec = Spec((8,), "int32", vocab_size=2, tokenizer=Words(["a", "b"]))
    (tmp_path / "data.json").write_text(card_of(spec).to_json())
    assert DataCard.read(tmp_path / "data.json", packages=["words"]).spec == spec
    with pytest.raises(InputError, match=r"words\.Words"):
        DataCard.read(tmp_path / "data.json")


def test_what_only_code_knows_has_no_card():
    spec = Spec((8,), "int32", vocab_size=2, tokenizer=object())
    assert card_of(spec).to_json() is None


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"spec": {}}', '{"spec": {"tokenizer": null, "x": 1}}'])  # fmt: skip
def test_a_damaged_card_is_an_error(damage, tmp_path):
    (tmp_path / "data.json").write_text(damage)
    with pytest.raises(
        InputError, match=r"data\.json cannot be read .* bring it back, or remove it"
    ):
        DataCard.read(tmp_path / "data.json")
    assert DataCard.read(tmp_path / "nothing.json") is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table of 40 rows."""
    root = tmp_path_factory.mktemp("rents")
    rows = [f"{i % 7},{3 * (i % 7) + 0.1 * (i % 3)}" for i in range(40)]
    (root / "train.csv").write_text("\n".join(["size,rent", *rows]))
    return nnxtrain.fit([
        "data=table", f"data.train={root}/train.csv", "data.targets=[rent]", "task=regression", "model=linear_regression",
        "trainer.epochs=null", "trainer.steps=2", "trainer.batch_size=8", f"runs_dir={root}/runs",
    ]).directory  # fmt: skip


@pytest.fixture
def table(run):
    """The run's table; what a test does to it is undone."""
    path = run.parents[1] / "train.csv"
    text = path.read_text()
    yield path
    path.write_text(text)


def test_new_examples_are_predicted_where_the_data_is_not(run, table):
    expected = nnxtrain.predict(run, inputs=[[1.0], [5.0]])
    table.unlink()
    found = nnxtrain.predict(run, inputs=[[1.0], [5.0]])
    assert found.columns() == expected.columns()
    assert found.spec == expected.spec
    with pytest.raises(InputError, match=r"data\.train.*train\.csv"):
        nnxtrain.predict(run)  # the examples of a split are not there


def test_a_run_does_not_go_on_with_other_data(run, table, capsys):
    lines = table.read_text().splitlines()
    lines[1], lines[2] = lines[2], lines[1]  # the same numbers in another order
    table.write_text("\n".join(lines))
    before = sorted(path.name for path in run.iterdir())
    assert main(["fit", f"run={run}", "trainer.steps=4"]) == 2
    error = capsys.readouterr().err
    assert f"the data of {run} has changed: train (" in error
    assert " examples, others)" in error
    assert f"fit from={run}" in error
    assert sorted(path.name for path in run.iterdir()) == before


def test_an_evaluation_on_other_data_says_so(run, table, capsys):
    was = nnxtrain.evaluate(run, split="train")
    table.write_text(table.read_text() + "\n9,1000")
    assert main(["eval", f"run={run}", "split=train", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "the data has changed since the run began: train (" in err
    assert "examples then" in err
    assert json.loads(out)["rmse"] != was["rmse"]


def test_a_run_without_a_card_is_used_with_its_data(run, table):
    expected = nnxtrain.evaluate(run)
    card = run / "data.json"
    text = card.read_text()
    card.unlink()
    try:
        assert nnxtrain.evaluate(run) == expected
        assert nnxtrain.predict(run, inputs=[[1.0]]).spec.target_names == ("rent",)
    finally:
        card.write_text(text)


def test_cards_name_the_splits_that_changed():
    card = card_of(Spec((1,), "float32"))
    sizes, fingerprints = card.sizes | {"test": 1200}, card.fingerprints | {"test": "2e"}
    now = dataclasses.replace(card, sizes=sizes, fingerprints=fingerprints)
    assert card.changed(card) == []
    assert card.changed(now) == ["test (3 examples then, 1,200 now)"]
