"""Every shipped recipe: composed, checked, traced by shapes; and one of each model and task through the commands."""

import dataclasses
import json
from pathlib import Path

import pytest

from nnxtrain.api import checked
from nnxtrain.cli.main import main
from nnxtrain.config import compose
from nnxtrain.data.catalog import lookup
from nnxtrain.training.check import estimate
from nnxtrain.training.session import Session

RECIPES = sorted(path.stem for path in (Path(__file__).parents[1] / "configs/config").glob("*.yaml"))  # fmt: skip


def stand_in(data):
    """Random images of a data set's shapes, where it would have to be downloaded; otherwise the data itself."""
    if data["_target_"] != "nnxtrain.data.TFDSImages" or data["name"].startswith("shapes5"):
        return data
    entry, _ = lookup(data["name"])
    shape = [*(data["image_size"] or entry.image_shape[:2]), entry.image_shape[2]]
    classes = len(data["classes"] or entry.class_names)
    return {"_target_": "nnxtrain.data.Synthetic", "shape": shape, "num_classes": classes, "size": 2000}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_another_model_or_optimizer_can_be_chosen_in_a_recipe(recipe):
    """What belongs to one lies in its own option, so that nothing of it is left behind."""
    images = compose([f"config={recipe}"]).task["_target_"].endswith(".Classification")
    checked([f"config={recipe}", *(["model=lenet"] if images else []), "optim=adagrad"])
    checked([f"config={recipe}", "optim=sgd_cosine"])


def config_of(recipe):
    config = checked([f"config={recipe}"])
    return dataclasses.replace(config, data=stand_in(config.data))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_checked_and_traced_by_shapes(recipe):
    session = Session.open(config_of(recipe))
    session.look_over()
    found = estimate(session, compiled=False)
    assert found.parameters[0] > 0
    assert found.step_flops > found.parameters[0]
    assert session.config.name == recipe


def one_of_each():
    """The first recipe of each model and of each task."""
    chosen = {}
    for recipe in RECIPES:
        config = checked([f"config={recipe}"])
        for node in (config.model, config.task):
            chosen.setdefault(node["_target_"], recipe)
    return sorted(set(chosen.values()))


# What makes a model small; a new family must say so here.
SMALL = {
    "nnxtrain.models.LeNet": ["model.channels=[2,3]", "model.hidden=[8]"],
    "nnxtrain.models.LinearRegression": [],
    "nnxtrain.models.MLP": ["model.hidden=[8]"],
    "nnxtrain.models.ResNet": ["model.depth=8", "model.width=2"],
    "nnxtrain.models.RNNClassifier": ["model.hidden_features=4"],
    "nnxtrain.models.TransformerLM": ["model.num_layers=1", "model.width=8", "model.num_heads=2", "data.length=16"],
    "nnxtrain.models.ViT": ["model.num_layers=1", "model.width=12"],
}  # fmt: skip


@pytest.mark.parametrize("recipe", one_of_each())
def test_a_recipe_trains_resumes_evaluates_predicts_and_reports(
    recipe, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    config = config_of(recipe)
    data = [f"data.{key}={value}" for key, value in config.data.items() if key != "_target_"]
    if config.data["_target_"] == "nnxtrain.data.Synthetic":
        data = [
            "data=synthetic",
            *[text.replace(" ", "") for text in data],
            "data.num_classes=2",
            "data.size=40",
        ]
    elif config.data["_target_"] == "nnxtrain.data.TFDSImages":
        data = ["data.name=shapes5/tiny"]
    else:
        data = []
    short = ["trainer.epochs=null", "trainer.steps=3", "trainer.batch_size=4", "trainer.eval_batch_size=64",
             "optim.schedule=null", "trainer.eval_every=3"]  # fmt: skip
    assert main(["fit", f"config={recipe}", *SMALL[config.model["_target_"]], *short, *data]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert main(["fit", f"run={run}", "trainer.steps=4"]) == 0
    capsys.readouterr()
    assert main(["eval", f"run={run}", "checkpoint=last", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["step"] == 4
    assert evaluated["loss"] == evaluated["loss"]
    assert main(["predict", f"run={run}", "split=test", "out=predictions.jsonl"]) == 0
    rows = (tmp_path / "predictions.jsonl").read_text().splitlines()
    assert len(rows) == len(Session.open(checked_run(run)).splits.test)
    assert main(["report", f"run={run}", "out=report.html"]) == 0
    assert "<svg" in (tmp_path / "report.html").read_text()


def checked_run(run):
    from nnxtrain.config.saved import load

    return load(run / "config.yaml")
