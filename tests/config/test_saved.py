import dataclasses
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnxtrain.config import Config, OptimConfig, TrainerConfig, compose, load, save, saved, to_yaml
from nnxtrain.config.saved import read
from nnxtrain.errors import InputError

texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12) | st.sampled_from(
    [
        "1e-3",
        "null",
        "yes",
        "${oc.env:HOME}",
        "\\${x}",
        "\\\\${x}",
        "$",
        "${",
        "a: b",
        "# x",
        "0x1",
        "\x85",
        "a\u2028b",
        "\ufeff",
        "ä",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "???" not in str(value))
nodes = st.builds(
    lambda target, rest: {"_target_": target, **rest},
    texts.filter(lambda text: text != "???"),
    st.dictionaries(texts, values, max_size=3),
)
configs = st.builds(
    Config,
    seed=st.integers(),
    name=st.none() | texts,
    model=nodes,
    data=nodes,
    task=nodes,
    optim=st.builds(
        OptimConfig,
        optimizer=nodes,
        learning_rate=st.floats(allow_nan=False),
        schedule=st.none() | nodes,
    ),
    trainer=st.builds(TrainerConfig, epochs=st.none() | st.floats(allow_nan=False)),
)


@settings(max_examples=100, deadline=None)
@given(config=configs)
def test_round_trip(config, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    save(config, path)
    assert load(path) == config


def test_composed_round_trip(tree, tmp_path):
    config = compose(["config=ours", "trainer.mode=min", "optim.learning_rate=1e-5"], tree)
    save(config, tmp_path / "c.yaml")
    assert load(tmp_path / "c.yaml") == config
    assert read(tmp_path / "c.yaml")[1] == []


def test_saved_text_does_not_depend_on_the_environment(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL", "mine")
    save(compose(["name=${oc.env:LABEL}"], tree), tmp_path / "c.yaml")
    monkeypatch.setenv("LABEL", "other")
    assert load(tmp_path / "c.yaml").name == "mine"


def edited(tree, tmp_path, old, new):
    text = to_yaml(compose([], tree))
    assert old in text
    (tmp_path / "c.yaml").write_text(text.replace(old, new))
    return tmp_path / "c.yaml"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("log_every: 50", "log_evry: 50", "no key 'trainer.log_evry' in a configuration; did you mean 'trainer.log_every'?"),
        ("seed: 0", "sede: 0", "no key 'sede' in a configuration; did you mean 'seed'?"),
        ("seed: 0", "seed: abc", "seed: expected an integer, got 'abc'"),
        ("seed: 0", "seed: [", "c.yaml:"),
        ("version: 1", "version: 99", "written by a newer nnxtrain"),
        ("version: 1", "version: x", "version: expected an integer"),
        ("learning_rate: 0.001", "learning_rate: ???", "optim.learning_rate has no value"),
    ],
)  # fmt: skip
def test_bad_files(tree, tmp_path, old, new, line):
    path = edited(tree, tmp_path, old, new)
    with pytest.raises(InputError) as caught:
        load(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(InputError, match="cannot read the configuration"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="expected a configuration"):
        load(tmp_path / "list.yaml")


def test_new_keys_take_a_default_and_are_logged(tree, tmp_path, caplog):
    path = edited(tree, tmp_path, "  log_every: 50\n", "")
    with caplog.at_level(logging.WARNING, logger="nnxtrain.config.saved"):
        assert load(path).trainer.log_every == 50
    assert "trainer.log_every" in caplog.text


def test_renamed_keys(tree, tmp_path, monkeypatch):
    path = edited(tree, tmp_path, "log_every: 50", "log_interval: 7")
    monkeypatch.setattr(saved, "VERSION", 2)
    monkeypatch.setattr(saved, "RENAMED", {1: {"trainer.log_interval": "trainer.log_every"}})
    config, defaulted = read(path)
    assert config.trainer.log_every == 7
    assert config.version == 2
    assert defaulted == []


def test_config_is_a_plain_dataclass(tree):
    config = compose([], tree)
    assert dataclasses.replace(config, seed=3).seed == 3
