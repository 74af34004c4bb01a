"""``nnxtrain generate`` with runs that were really trained."""

import json

import pytest

import nnxtrain
from nnxtrain.cli.main import main
from nnxtrain.errors import InputError

MODEL = [
    "model=transformer_tiny",
    "model.num_layers=1",
    "model.width=32",
    "model.num_heads=2",
]
SHORT = ["trainer.epochs=null", "trainer.batch_size=8", "trainer.eval_batch_size=8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run, whose model knows how "abcdé" goes on."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text("abcdé" * 400, encoding="utf-8")
    nnxtrain.fit(
        [
            "config=transformer_char",
            "data=text",
            f"data.train={folder / 'text.txt'}",
            "data.length=16",
            "data.level=char",
            *MODEL,
            *SHORT,
            "optim.learning_rate=0.03",
            "trainer.steps=60",
            "trainer.eval_every=60",
            f"runs_dir={folder / 'runs'}",
        ]
    )
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.mark.usefixtures("run")
def test_text_on_the_command_line(capsys):
    assert main(["generate", "prompt=bcd", "length=30", "temperature=0"]) == 0
    assert capsys.readouterr().out == "bcd" + ("éabcd" * 6) + "\n"


@pytest.mark.usefixtures("run")
def test_the_text_itself_need_not_be_there(folder, capsys):
    text = (folder / "text.txt").rename(folder / "elsewhere.txt")
    try:
        assert main(["generate", "prompt=bcd", "length=5", "temperature=0"]) == 0
        assert capsys.readouterr().out == "bcdéabcd\n"
    finally:
        text.rename(folder / "text.txt")


@pytest.mark.usefixtures("run")
def test_json_and_python_agree(capsys):
    arguments = ["prompt=é", "length=6", "num=2", "seed=3", "top_k=4", "top_p=0.99"]
    assert main(["generate", *arguments, "--json"]) == 0
    out = capsys.readouterr().out
    made = nnxtrain.generate(None, "é", length=6, num=2, seed=3, top_k=4, top_p=0.99)
    assert json.loads(out).items() >= made.items()
    assert made["step"] == 60
    assert [len(text) for text in made["samples"]] == [6, 6]


@pytest.mark.usefixtures("run")
def test_its_other_commands():
    """The text is learned by heart, so that hardly a bit is left of each character."""
    metrics = nnxtrain.evaluate(details=True)
    assert metrics["bits_per_token"] < 0.1
    assert len(metrics["details"]["loss_by_position"]) == 16
    found = nnxtrain.predict(split="test")
    assert found.columns()["accuracy"] == pytest.approx([1.0] * len(found), abs=0.2)


@pytest.mark.usefixtures("run")
def test_samples_are_told_apart(capsys):
    assert main(["generate", "prompt=a", "length=4", "num=2", "temperature=0"]) == 0
    assert capsys.readouterr().out == "abcdé\n---\nabcdé\n"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "prompt=xyz",
            "error: the character 'x' (U+0078) is not in the vocabulary: 'abcdé'; choose another prompt=TEXT",
        ),
        ("prompt=", "error: prompt= is empty; give prompt=TEXT"),
        ("length=0", "error: length must be at least 1, got 0"),
        ("length=ten", "error: length=ten: expected a whole number"),
        ("temperature=-1", "error: temperature must be at least 0, got -1.0"),
        ("top_p=2", "error: top_p must be above 0 and at most 1, got 2.0"),
        ("num=0", "error: num must be at least 1, got 0"),
        ("checkpoint=nearest", "error: checkpoint=nearest: choose best, last or a step"),
        ("run=nowhere", "error: run 'nowhere' does not exist"),
    ],
)
def test_one_line_about_what_is_wrong(argument, message, capsys):
    assert main(["generate", argument]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


def test_an_empty_prompt_from_python(folder):
    with pytest.raises(InputError, match="the prompt is empty; give prompt=TEXT to begin with"):
        nnxtrain.generate(prompt="", runs_dir=folder / "runs")


def test_a_run_without_a_language_model(tmp_path):
    run = nnxtrain.fit(
        [
            "config=linear_regression",
            "trainer.epochs=null",
            "trainer.steps=1",
            f"runs_dir={tmp_path}",
        ]
    )
    with pytest.raises(InputError, match="has no language model: its data is not made of tokens"):
        nnxtrain.generate(run.directory)
