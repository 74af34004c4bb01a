"""Each family trained for two steps by the command, and models of the user's own."""

import re
from pathlib import Path

import pytest

import nnxtrain
from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.cli.main import main
from nnxtrain.errors import InputError
from nnxtrain.training.session import Session, decide

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
TINY = [
    "data.name=shapes5/tiny", "trainer.epochs=null", "trainer.steps=2", "trainer.batch_size=8",
    "trainer.eval_batch_size=8",  # one program for validation and test
]  # fmt: skip


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def examples(language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["model=resnet_small", "model.width=2"],
        ["model=vit_tiny", "model.width=4", "model.num_layers=1", "model.num_heads=2", "model.dropout_rate=0.1"],
        ["model=gru", "model.hidden_features=4", "model.dropout_rate=0.1"],
    ],
    ids=["resnet", "vit", "rnn"],
)  # fmt: skip
def test_a_family_trains(overrides, capsys):
    assert main(["fit", *overrides, *TINY]) == 0
    assert "test" in capsys.readouterr().out


OPTIONS = sorted(path.stem for path in (DOCS.parents[1] / "configs/model").glob("*.yaml"))
LARGE = {
    "resnet34",
    "resnet50",
    "resnet18",
    "vit_base",
    "vit_small",
}  # the same class as a small one


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in LARGE])
def test_every_option_works_on_a_batch_with_dropout_too(option):
    """By shapes alone."""
    text = (DOCS.parents[1] / f"configs/model/{option}.yaml").read_text()
    overrides = [f"model={option}", *TINY]
    if "TransformerLM" in text:
        overrides = ["config=transformer_char", f"model={option}", "data.length=16"]
        overrides += ["model.num_layers=1", "model.max_length=16"]
    if "dropout_rate" in text:
        overrides.append("model.dropout_rate=0.1")
    if option == "linear_regression":
        overrides = ["config=linear_regression"]
    if option in ("custom", "layers"):  # have no model before the user gives one
        return
    Session.open(checked(overrides)).look_over()


def test_layers_that_are_undecided_train_and_others_stay_as_they_are():
    session = Session.open(checked(["config=transformer_char", "data.length=16", "model.num_layers=2"]))  # fmt: skip
    (first, second) = (block.attention for block in session.shapes.model.blocks)
    assert first.deterministic is second.deterministic is False

    class Fixed(nnx.Module):
        def __init__(self):
            self.undecided = nnx.MultiHeadAttention(1, 1, dropout_rate=0.1, rngs=nnx.Rngs(0))
            self.fixed = nnx.BatchNorm(1, use_running_average=True, rngs=nnx.Rngs(0))

    model = nnx.eval_shape(Fixed)
    decide(model)
    assert model.undecided.deterministic is False
    assert model.fixed.use_running_average is True


def test_the_documents_networks_in_yaml_train(capsys):
    texts = examples("yaml")
    assert len(texts) == 2
    for number, text in enumerate(texts):
        write(f"configs/model/written_{number}.yaml", text)
    for number in range(2):
        assert main(["fit", f"model=written_{number}", *TINY]) == 0


def test_the_documents_own_class_trains(capsys):
    (text,) = examples("python")
    write("mypkg/models.py", text)
    write("mypkg/__init__.py", "")
    overrides = ["model=custom", "model._target_=mypkg.models.Net", "model.hidden=8"]
    assert main(["fit", "--package", "mypkg", *overrides, *TINY]) == 0
    assert main(["fit", *overrides, *TINY]) == 2
    assert "--package mypkg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model=lenet"], r"nnxtrain.models.LeNet needs num_classes, and this data has none \(.*num_targets=1"),
        (["model=layers", "task=regression"], r"layers\[0\] \(Conv\) does not take float32\[batch, 1\]"),
        (["model=custom"], "model._target_ has no value"),
        (["model=lenet", "model.num_classes=1"], r"LeNet takes images .*; these examples are \[1\]"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_the_data(overrides, line):
    with pytest.raises(InputError, match=line):
        nnxtrain.fit(["data=line", "task=regression", "optim=adam", *overrides])
    assert not list(Path().glob("runs/*/checkpoints"))
