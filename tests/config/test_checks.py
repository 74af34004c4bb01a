# ruff: noqa: E501  (a case is one line: what is typed, and what is answered)
import pytest

from nnxtrain.config import check, compose_with_origins
from nnxtrain.config.signature import accepts, parameters
from nnxtrain.errors import InputError


def checked(overrides, tree, packages=("fakes",)):
    composition = compose_with_origins(overrides, tree)
    check(composition.config, packages=packages, where=composition.where)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["config=ours"],
        ["model.dropout_rate=1"],
        ["model.activation={_target_: jax.nn.relu, _partial_: true}"],
        ["data.image_size=[8,8]"],
        ["data.image_size=null"],
        ["data={_target_: fakes.anything, whatever: 1}"],
        [
            "model=blank",
            "model={_target_: fakes.Stack, _args_: [{_target_: fakes.Model, hidden: [3]}]}",
        ],
        ["model=blank", "model={_target_: fakes.unknown_annotation, x: text}"],
        ["optim=sgd", "optim.schedule=null"],
        ["trainer.epochs=null", "trainer.steps=3"],
        ["trainer.epochs=0.5"],
        ["trainer.eval_every=10"],
    ],
)
def test_good(overrides, tree):
    checked(overrides, tree)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model.hiden=[3]"], "override 'model.hiden=[3]': model.hiden: fakes.Model has no argument 'hiden'; did you mean 'hidden'?"),
        (["model.zzz=3"], "fakes.Model has no argument 'zzz' (it takes hidden, num_classes, dropout_rate, activation, rngs)"),
        (["model=misspelt"], "CONF/model/misspelt.yaml: model.hiden: fakes.Model has no argument 'hiden'"),
        (["config=bad_argument"], "CONF/config/bad_argument.yaml: model.hiden: fakes.Model has no"),
        (["model.hidden=abc"], "model.hidden: fakes.Model wants list[int], got 'abc' (str)"),
        (["model.hidden=[a]"], "model.hidden: fakes.Model wants list[int], got ['a'] (list)"),
        (["model.dropout_rate=high"], "fakes.Model wants float, got 'high' (str)"),
        (["model.dropout_rate=true"], "fakes.Model wants float, got True (bool)"),
        (["data.image_size=[8]"], "wants tuple[int, int] | None, got [8] (list)"),
        (["data.size=1.5"], "data.size: fakes.Data wants int, got 1.5 (float)"),
        (["optim.optimizer.b1=abc"], "override 'optim.optimizer.b1=abc': optim.optimizer.b1: optax.adam wants"),
        (["optim.optimizer.b3=1"], "optax.adam has no argument 'b3'; did you mean"),
        (["optim.optimizer._target_=optax.adm"], "optim.optimizer._target_: optax has no 'adm'; did you mean 'adam'?"),
        (["model._target_=fakes.Modl"], "model._target_: fakes has no 'Modl'; did you mean 'Model'?"),
        (["model._target_=os.system"], "model._target_: 'os.system' is outside the allowed packages"),
        (["model.activation={_target_: os.system}"], "model.activation._target_: 'os.system' is outside"),
        (["model.hidden=[{_target_: os.system}]"], "model.hidden[0]._target_: 'os.system' is outside"),
        (["model.activation={a: [{_target_: fakes.pair, first: x}]}"], "model.activation.a[0].first: fakes.pair wants int, got 'x'"),
        (["model=blank", "model={_target_: fakes.pair}"], "model.first: fakes.pair needs 'first' and nothing gives it"),
        (["model=blank", "model={_target_: fakes.pair, _args_: [1, 2, 3]}"], "model._args_: fakes.pair takes at most 2 positional"),
        (["model=blank", "model={_target_: fakes.pair, _args_: [1, x]}"], "model._args_[1]: fakes.pair wants int, got 'x'"),
        (["model=blank", "model={_target_: fakes.pair, _args_: [1], first: 1}"], "model.first: fakes.pair gets 'first' from _args_ too"),
        (["model=blank", "model={_target_: fakes.pair, _args_: 3}"], "model._args_: expected a list, got 3"),
        (["model._parital_=true"], "model._parital_: not a key of a node (only _target_, _args_, _partial_); did you mean '_partial_'?"),
        (["model._partial_=3"], "model._partial_: expected true or false, got 3"),
        (["optim.schedule=cosine"], "optim.schedule: expected a node with _target_, got 'cosine'"),
        (["optim.schedule.x=1"], "optim.schedule: expected a node with _target_"),
        (["trainer.steps=3"], "override 'trainer.steps=3': trainer.steps: steps=3 and epochs=7 are both set; to train by steps add trainer.epochs=null"),
        (["trainer.epochs=null"], "trainer.epochs: neither epochs nor steps is set"),
        (["trainer.epochs=0"], "trainer.epochs: must be greater than 0, got 0.0"),
        (["trainer.batch_size=0"], "trainer.batch_size: must be at least 1, got 0"),
        (["trainer.keep_last=-1"], "trainer.keep_last: must be at least 1, got -1"),
        (["seed=-1"], "seed: must be at least 0, got -1"),
        (["optim.learning_rate=nan"], "optim.learning_rate: must be a finite number, got nan"),
        (["optim.learning_rate=0"], "optim.learning_rate: must be greater than 0"),
        (["name=a/b"], "name: use letters, digits"),
        (["name=.."], "name: use letters, digits"),
        (["runs_dir="], "runs_dir: is empty"),
    ],
)  # fmt: skip
def test_bad(overrides, line, tree):
    with pytest.raises(InputError) as caught:
        checked(overrides, tree)
    assert line.replace("CONF", str(tree[0])) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


PARTS = "model={_target_: nnxtrain.models.Layers, layers: [%s]}"


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("nnxtrain.nnx.relo", "model.layers[0]: nnxtrain.nnx has no 'relo'; did you mean 'relu'?"),
        ("os.system", "model.layers[0]: 'os.system' is outside the allowed packages"),
        ("3", "model.layers[0]: expected a node with _target_, or a dotted name, got 3"),
        ("{_target_: nnxtrain.nnx.Linear, out_feature: 3}", "model.layers[0].out_feature: nnxtrain.nnx.Linear has no argument 'out_feature'; did you mean 'out_features'?"),
        ("{_target_: nnxtrain.nnx.Linear, out_features: many}", "model.layers[0].out_features: nnxtrain.nnx.Linear wants int, got 'many' (str)"),
        ("nnxtrain.nnx.Linear", "model.layers[0].out_features: nnxtrain.nnx.Linear needs 'out_features' and nothing gives it"),
        ("{_target_: nnxtrain.nnx.max_pool, window: [2]}", "model.layers[0].window: nnxtrain.nnx.max_pool has no argument 'window'; did you mean 'window_shape'?"),
        ("{_target_: nnxtrain.nnx.RNN, cell: {_target_: nnxtrain.nnx.GRUCell}}", "model.layers[0].cell.hidden_features: nnxtrain.nnx.GRUCell needs 'hidden_features'"),
    ],
)  # fmt: skip
def test_parts_that_stay_unbuilt_are_checked(part, line, tree):
    with pytest.raises(InputError) as caught:
        checked(["model=blank", PARTS % part], tree)
    assert line in str(caught.value)


def test_good_parts(tree):
    linear = "{_target_: nnxtrain.nnx.Linear, out_features: num_classes}"
    checked(["model=blank", PARTS % f"nnxtrain.nnx.relu, nnxtrain.nnx.BatchNorm, {linear}"], tree)


def test_a_package_must_be_named(tree):
    with pytest.raises(InputError, match="--package"):
        checked([], tree, packages=())


def test_nothing_is_built(tree):
    import fakes

    fakes.built.clear()
    checked([], tree)
    assert fakes.built == []


def test_parameters_look_behind_a_metaclass():
    import fakes

    assert list(parameters(fakes.Model))[:2] == ["hidden", "num_classes"]
    assert parameters(fakes.Model)["hidden"].annotation == list[int]
    assert list(parameters(fakes.half)) == ["second"]


def test_accepts_literals_and_mappings():
    from collections.abc import Callable, Mapping, Sequence
    from typing import Annotated, Literal

    assert accepts(Literal["a", "b"], "a")
    assert not accepts(Literal["a", "b"], "c")
    assert accepts(Mapping[str, int], {"a": 1})
    assert not accepts(Mapping[str, int], {"a": "x"})
    assert accepts(Sequence[int], [1])
    assert not accepts(Sequence[int], "ab")
    assert accepts(tuple[int, ...], [1, 2, 3])
    assert not accepts(Annotated[int, "steps"], "x")
    assert not accepts(Callable[[int], int], "relu")
