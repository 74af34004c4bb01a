# ruff: noqa: E501  (a case is one line: what is typed, and what is answered)
import os

import pytest

from nnxtrain.config import compose, list_options, to_container
from nnxtrain.config.tree import search_dirs, shipped_dir
from nnxtrain.errors import InputError


def test_the_default(tree):
    config = compose([], tree)
    assert config.name == "lenet_shapes5"
    assert config.model == {"_target_": "fakes.Model", "hidden": [3]}
    assert type(config.model["hidden"]) is list
    assert config.trainer.steps is None
    assert config.trainer.mode is None
    assert config.version == 1


def test_later_entries_win(tree):
    config = compose(["config=ours"], tree)
    assert (config.name, config.trainer.epochs) == ("ours", 2)
    assert config.model["hidden"] == [8, 8]
    config = compose(["config=ours", "model=lenet", "trainer.epochs=7"], tree)
    assert (config.model["hidden"], config.trainer.epochs) == ([3], 7)


def test_choosing_another_option_leaks_nothing(tree):
    assert "dropout_rate" not in compose(["config=ours", "model=lenet"], tree).model


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-3"])
def test_learning_rate_of_each_optimizer(tree, optimizer, text):
    config = compose([f"optim={optimizer}", f"optim.learning_rate={text}"], tree)
    assert config.optim.learning_rate == 0.001
    assert "learning_rate" not in config.optim.optimizer


def test_arguments_that_the_file_leaves_out_can_be_set(tree):
    config = compose(["model.dropout_rate=0.2", "optim.schedule={_target_: a.b, x: 1}"], tree)
    assert config.model["dropout_rate"] == 0.2
    assert config.optim.schedule == {"_target_": "a.b", "x": 1}


def test_interpolations_are_resolved(tree, monkeypatch):
    monkeypatch.setenv("LABEL", "mine")
    config = compose(["name=${oc.env:LABEL}", "trainer.log_every=${trainer.batch_size}"], tree)
    assert (config.name, config.trainer.log_every) == ("mine", 128)


def test_to_container_is_plain(tree):
    container = to_container(compose(["trainer.mode=min"], tree))
    assert type(container["trainer"]["mode"]) is str
    assert type(container["optim"]) is dict


def test_folders_are_searched_in_order(tmp_path, monkeypatch, tree):
    for folder in ("flag", "configs", "environment"):
        (tmp_path / folder / "model").mkdir(parents=True)
        for option in {"flag": "a", "configs": "ab", "environment": "abc"}[folder]:
            text = f"_target_: from.{folder}\n"
            (tmp_path / folder / "model" / f"{option}.yaml").write_text(text)
    both = f"{tmp_path / 'environment'}{os.pathsep}{tree[0]}"
    monkeypatch.setenv("NNXTRAIN_CONFIG_PATH", both)
    assert search_dirs(["flag"]) == [
        tmp_path / "flag",
        tmp_path / "configs",
        tmp_path / "environment",
        tree[0],
        shipped_dir(),
    ]
    found = [compose([f"model={option}"], ["flag"]).model["_target_"] for option in "abc"]
    assert found == ["from.flag", "from.configs", "from.environment"]
    assert {"a", "b", "c", "lenet", "mlp"} <= set(list_options("model", ["flag"]))


def test_a_folder_that_does_not_exist():
    with pytest.raises(InputError, match="--config-dir: nowhere is not a folder"):
        compose([], ["nowhere"])


def test_shipped_recipes_compose(tree):
    for recipe in list_options("config"):
        config = compose([f"config={recipe}"], tree)
        assert config.name == recipe
        file = shipped_dir() / "config" / f"{recipe}.yaml"
        assert f"nnxtrain fit config={recipe}" in file.read_text()
    assert compose(["config=lenet_cifar5_56"], tree).data["image_size"] == [56, 56]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["config=lenet_cifar"], "override 'config=lenet_cifar': no config 'lenet_cifar'; did you mean 'lenet_cifar5'? (config: "),
        (["model=lanet"], "override 'model=lanet': no model 'lanet'; did you mean 'lenet'? (model: "),
        (["modle=lenet"], "override 'modle=lenet': there is no key 'modle'; did you mean 'model'?"),
        (["modle.hidden=3"], "override 'modle.hidden=3': there is no key 'modle'; did you mean 'model'?"),
        (["+modle.x=3"], "override '+modle.x=3': no key 'modle'; did you mean 'model'?"),
        (["+trainer.epoch=3"], "override '+trainer.epoch=3': no key 'trainer.epoch'; did you mean"),
        (["trainer.epohcs=3"], "override 'trainer.epohcs=3': trainer has no key 'epohcs'; did you mean 'epochs'?"),
        (["optim.lr=3"], "override 'optim.lr=3': optim has no key 'lr' (known: "),
        (["trainer={stepz: 3}"], "override 'trainer={stepz: 3}': trainer has no key 'stepz'; did you mean 'steps'?"),
        (["optim.learning_rate=fast"], "override 'optim.learning_rate=fast': optim.learning_rate: expected a number, got 'fast'"),
        (["trainer.batch_size=1.5"], "override 'trainer.batch_size=1.5': trainer.batch_size: expected an integer, got 1.5"),
        (["trainer.batch_size="], "expected an integer, got ''"),
        (["trainer.mode=maks"], "trainer.mode: expected one of max, min, got 'maks'; did you mean 'max'?"),
        (["optim.optimizer=sgd"], "optim.optimizer: expected a group of keys, got 'sgd'"),
        (["optim/optimizer=sgd"], "override 'optim/optimizer=sgd': no config group 'optim/optimizer'"),
        (["optim.learning_rate=???"], "override 'optim.learning_rate=???': optim.learning_rate has no value"),
        (["model=incomplete"], "model.hidden has no value; give model.hidden=VALUE"),
        (["data=???"], "data is not chosen; give data=OPTION (arrays"),
        (["~model"], "override '~model': model has no value"),
        (["~nothing"], "override '~nothing': there is no such key or value to delete"),
        (["~task.mean"], "to delete; of a key that is null, give both: task.mean=0 '~task.mean'"),
        (["config=null"], "override 'config=null': expected the name of an option (config: "),
        (["trainer=3"], "override 'trainer=3': expected the name of an option (trainer: default)"),
        (["lenet_cifar5"], "override 'lenet_cifar5' is not of the form KEY=VALUE; did you mean 'config=lenet_cifar5'?"),
        (["name=a=b"], "override 'name=a=b': mismatched input '='; quote"),
        (["name=a[:2]"], """ : 'name="a[:2]"'"""),
        (["config.foo=1"], "override 'config.foo=1': config only chooses a recipe; leave 'config.' out"),
        (["model.hidden=[3"], "override 'model.hidden=[3': no viable alternative"),
        (["seed=1,2"], "override 'seed=1,2' has several values: `nnxtrain sweep` runs them all; or write 'seed=[1,2]'"),
        (["seed=range(1,3)"], "override 'seed=range(1,3)' is a sweep: `nnxtrain sweep`"),
        (["name=${nowhere}"], "override 'name=${nowhere}': name: Interpolation key 'nowhere' not found"),
        (["config=bad_option"], "CONF/config/bad_option.yaml: no model 'lanet'; did you mean 'lenet'?"),
        (["config=bad_group"], "CONF/config/bad_group.yaml: defaults: no group 'modle'; did you mean 'model'?"),
        (["config=bad_key"], "CONF/config/bad_key.yaml: trainer has no key 'epohcs'; did you mean 'epochs'?"),
        (["config=bad_type"], "CONF/config/bad_type.yaml: trainer.epochs: expected a number, got 'many'"),
        (["config=bad_yaml"], "CONF/config/bad_yaml.yaml:3: not valid YAML: expected ',' or ']'"),
        (["config=bad_interpolation"], "name: Interpolation key 'nowhere' not found"),
        (["config=no_package"], "CONF/config/no_package.yaml: a recipe must begin with the line '# @package _global_'"),
        (["optim=broken"], "CONF/optim/broken.yaml:2: not valid YAML"),
        (["hydra/launcher=slrum"], "override 'hydra/launcher=slrum': no hydra/launcher 'slrum'"),
    ],
)  # fmt: skip
def test_errors_say_where_what_and_the_nearest(tree, overrides, line):
    with pytest.raises(InputError) as caught:
        compose(overrides, tree)
    assert line.replace("CONF", str(tree[0])) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_group_in_list_options():
    with pytest.raises(InputError, match="no config group 'optm'; did you mean 'optim'"):
        list_options("optm")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "lenet_shapes5"),
        (["config=lenet_cifar5"], "lenet_cifar5"),
        (["model=mlp"], "mlp_shapes5"),
        (["config=lenet_cifar5", "data=mnist"], "lenet_mnist"),
        (["model=mlp", "name=mine"], "mine"),
        (["model.hidden=[8]"], "lenet_shapes5"),
    ],
)
def test_a_run_is_named_for_what_it_trains(overrides, name):
    assert compose(overrides).name == name


def test_one_composition_leaves_no_trace_in_the_next(tree):
    """Those of a sweep share what was read."""
    from nnxtrain.config.composition import Composer, compose_with_origins

    composer = Composer(tree)
    many = [
        ["seed=1"],
        ["model.hidden=[7]", "seed=2"],
        ["optim=sgd"],
        ["seed=3", "+model.dropout_rate=0.5"],
        ["seed=1"],
    ]
    for overrides in many:
        assert composer.compose(overrides) == compose_with_origins(overrides, tree)
