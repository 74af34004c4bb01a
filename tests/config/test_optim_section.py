# ruff: noqa: E501  (a case is one line: what is typed, and what is answered)
"""Groups of parameters and schedules as a user types them."""

import pytest

from nnxtrain.config import check, compose_with_origins, list_options, load, save
from nnxtrain.errors import InputError

GROUPED = "optim.groups=[{match: head.*, scale: 0.1}, {match: 're:.*bias$', learning_rate: 0.5}]"
MINE = """# An option with groups.
defaults:
  - schedule: null
optimizer: {_target_: optax.adam}
learning_rate: 0.1
groups:
  - {match: "**.bias", learning_rate: 0.5}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("conf")
    (path / "optim").mkdir()
    (path / "config").mkdir()
    (path / "optim" / "mine.yaml").write_text(MINE)
    (path / "optim" / "plain.yaml").write_text(
        "optimizer: {_target_: optax.adam}\nlearning_rate: 0.1\n"
    )
    (path / "optim" / "typo.yaml").write_text(MINE.replace("learning_rate: 0.5", "lr: 0.5"))
    (path / "optim" / "typo_in_schedule.yaml").write_text(
        MINE.replace("null", "cosine") + "schedule: {wramup: 0.1}\n"
    )
    recipe = "# @package _global_\ndefaults:\n  - override /optim: sgd\n  - override /optim/schedule: step\n"
    (path / "config" / "stepped.yaml").write_text(recipe)
    return path


def checked(overrides, folder):
    composition = compose_with_origins(overrides, [folder])
    check(composition.config, where=composition.where)
    return composition.config.optim


def test_groups_from_the_command_line(folder):
    first, second = checked([GROUPED], folder).groups
    assert (first.match, first.scale, first.learning_rate, first.frozen) == (
        "head.*",
        0.1,
        None,
        False,
    )
    assert (second.match, second.learning_rate) == ("re:.*bias$", 0.5)


def test_a_group_of_an_option_can_be_overridden_by_number(folder):
    overrides = [
        "optim=mine",
        "optim.groups.0.learning_rate=1e-4",
        "optim.groups.0.schedule={_target_: nnxtrain.optim.cosine}",
        "optim.groups.0.schedule.warmup=0.1",
    ]
    (group,) = checked(overrides, folder).groups
    assert group.learning_rate == 1e-4
    assert group.schedule == {"_target_": "nnxtrain.optim.cosine", "warmup": 0.1}
    assert checked(["optim=mine", "optim.groups=[]"], folder).groups == []


def test_groups_are_saved_and_read_back(folder, tmp_path):
    config = compose_with_origins([GROUPED], [folder]).config
    save(config, tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml") == config


def test_the_schedule_alone_can_be_chosen(folder):
    for optimizer in ("adam", "adam_cosine", "mine"):  # without one, with one, the user's
        optim = checked(
            [f"optim={optimizer}", "optim/schedule=wsd", "optim.schedule.decay=2 epochs"], folder
        )
        assert optim.schedule == {
            "_target_": "nnxtrain.optim.warmup_stable_decay", "warmup": 0.05, "decay": "2 epochs", "shape": "sqrt", "final": 0.0,
        }  # fmt: skip
    assert checked(["optim=adam_cosine", "optim.schedule=null"], folder).schedule is None
    assert checked(["optim=plain", "+optim/schedule=step"], folder).schedule["gamma"] == 0.1
    assert checked(["config=stepped"], folder).schedule["_target_"] == "nnxtrain.optim.step"
    assert (
        checked(["config=stepped", "optim/schedule=linear"], folder).schedule["_target_"]
        == "nnxtrain.optim.linear"
    )


def test_every_option_says_what_it_is():
    from nnxtrain.config.tree import describe

    for group in ("optim", "optim/schedule"):
        assert all(describe(f"{group}/{option}") for option in list_options(group))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optim/schedule=cosin"], "override 'optim/schedule=cosin': no optim/schedule 'cosin'; did you mean 'cosine'? (optim/schedule: constant, "),
        (["optim/schedul=cosine"], "no config group 'optim/schedul'; did you mean 'optim/schedule'?"),
        (["optim=plain", "optim/schedule=cosine"], "the optim that was chosen has no optim/schedule in its defaults; to add one write +optim/schedule=OPTION"),
        (["optim=sgd", "optim.schedule.wramup=0.1"], "override 'optim.schedule.wramup=0.1': optim.schedule.wramup: nnxtrain.optim.cosine has no argument 'wramup'; did you mean 'warmup'?"),
        (["optim=sgd", "optim.schedule.warmup=[1]"], "nnxtrain.optim.cosine wants float | str, got [1] (list)"),
        (["optim=typo_in_schedule"], "CONF/optim/typo_in_schedule.yaml: optim.schedule.wramup: "),
        (["optim=typo"], "has no key 'lr' (known: match, frozen, learning_rate, "),
        (["optim.groups=3"], "override 'optim.groups=3': optim.groups: expected a list, as in optim.groups=[VALUE], got 3"),
        (["optim.groups={match: a}"], "optim.groups: expected a list, as in optim.groups=[VALUE]"),
        (["optim.groups=[3]"], "override 'optim.groups=[3]': optim.groups[0]: expected a group of keys, got 3"),
        (["optim.groups=[{scale: 2}]"], "optim.groups[0].match has no value"),
        (["optim.groups=[{match: '', scale: 2}]"], "optim.groups[0].match: the pattern is empty"),
        (["optim.groups=[{match: 're:(', scale: 2}]"], "optim.groups[0].match: 're:(' is no pattern: missing )"),
        (["optim.groups=[{match: a, scael: 2}]"], "override 'optim.groups=[{match: a, scael: 2}]': optim.groups[] has no key 'scael'; did you mean 'scale'?"),
        (["optim.groups=[{match: a, scale: x}]"], "override 'optim.groups=[{match: a, scale: x}]': optim.groups[].scale: expected a number, got 'x'"),
        (["optim.groups=[{match: a, scale: 0}]"], "optim.groups[0].scale: must be greater than 0, got 0.0"),
        (["optim.groups=[{match: a, scale: nan}]"], "optim.groups[0].scale: must be a finite number, got nan"),
        (["optim.groups=[{match: a, scale: 2, learning_rate: 1}]"], "optim.groups[0].scale: learning_rate is set too; choose one of them"),
        (["optim.groups=[{match: a, frozen: true, scale: 2}]"], "optim.groups[0].scale: the group is frozen, so this has no effect"),
        (["optim.groups=[{match: a, weight_decay: 1}]"], "optim.groups[0].weight_decay: optax.adam has no weight_decay; choose one that has, such as optim=adamw"),
        (["optim=adamw", "optim.groups=[{match: a, weight_decay: -1}]"], "optim.groups[0].weight_decay: must be at least 0, got -1.0"),
        (["optim.groups=[{match: a, schedule: cosine}]"], "optim.groups[0].schedule: expected a node with _target_, got 'cosine'"),
        (["optim.groups=[{match: a, schedule: {_target_: nnxtrain.optim.cosin}}]"], "optim.groups[0].schedule._target_: nnxtrain.optim has no 'cosin'; did you mean 'cosine'?"),
        (["optim.groups=[{match: a, optimizer: {_target_: optax.sgd, momentun: 1}}]"], "optim.groups[0].optimizer.momentun: optax.sgd has no argument 'momentun'; did you mean 'momentum'?"),
        (["optim.groups=[{match: a, learning_rate: 1}]", "optim.schedule={_target_: optax.cosine_decay_schedule, init_value: 1, decay_steps: 5}"], "optim.groups[0].learning_rate: optax.cosine_decay_schedule takes no learning_rate, so it has no effect; give scale"),
        (["optim=mine", "optim.groups.1.scale=2"], "override 'optim.groups.1.scale=2': optim.groups[1]: there is no such item; give the whole list"),
        (["optim=mine", "optim.groups.0.scale=2"], "override 'optim.groups.0.scale=2': optim.groups[0].scale: learning_rate is set too"),
        (["optim=mine", "optim.groups.0.lr=2"], "override 'optim.groups.0.lr=2': optim.groups[0] has no key 'lr' (known: match, "),
        (["optim=mine", "optim.groups.0.frozen=maybe"], "optim.groups[0].frozen: expected true or false, got 'maybe'"),
        (["optim.decay_bias_and_scale=false"], "override 'optim.decay_bias_and_scale=false': optim.decay_bias_and_scale: optax.adam has no weight_decay"),
        (["optim.clip_norm=1", "optim.clip_value=1"], "override 'optim.clip_value=1': optim.clip_value: clip_norm is set too; choose one"),
        (["optim.clip_adaptive=0"], "optim.clip_adaptive: must be greater than 0, got 0.0"),
    ],
)  # fmt: skip
def test_errors_say_where_what_and_the_nearest(folder, overrides, line):
    with pytest.raises(InputError) as caught:
        checked(overrides, folder)
    assert line.replace("CONF", str(folder)) in str(caught.value)
    assert "\n" not in str(caught.value)
