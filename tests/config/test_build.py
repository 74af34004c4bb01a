import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.config import resolve
from nnxtrain.errors import InputError

ours = functools.partial(resolve, packages=["fakes"])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
texts = st.text(max_size=8).filter(lambda text: text != "???")
keys = st.text("abcdxyz", min_size=1, max_size=4)
plain = st.recursive(
    scalars | texts, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=12
)


@given(plain)
def test_plain_values_pass_through(value):
    assert resolve(value) == value


@given(st.lists(plain, max_size=3), st.dictionaries(keys, plain, max_size=4))
def test_arguments_arrive_as_written(args, kwargs):
    node = {"_target_": "fakes.anything", "_args_": args, **kwargs}
    assert ours(node) == (tuple(args), kwargs)


@given(plain)
def test_nodes_are_built_wherever_they_lie(value):
    node = {
        "_target_": "fakes.anything",
        "x": {"deep": [{"_target_": "fakes.anything", "v": value}]},
    }
    _, kwargs = ours(node)
    assert kwargs == {"x": {"deep": [((), {"v": value})]}}


def test_runtime_values_go_where_the_signature_has_them():
    model = ours({"_target_": "fakes.Model", "hidden": [3]}, num_classes=5, rngs="keys", seed=1)
    assert model.given["num_classes"] == 5
    assert model.given["rngs"] == "keys"


def test_the_configuration_wins_over_the_runtime():
    node = {"_target_": "fakes.Model", "hidden": [3], "num_classes": 2}
    assert ours(node, num_classes=5).given["num_classes"] == 2
    node = {"_target_": "fakes.Model", "_args_": [[3], 2]}
    assert ours(node, num_classes=5).given["num_classes"] == 2


def test_runtime_values_reach_nested_nodes():
    layer = {"_target_": "fakes.Model", "hidden": [1], "num_classes": 1}
    stack = ours({"_target_": "fakes.Stack", "_args_": [layer, layer]}, rngs="keys")
    assert stack.rngs == "keys"
    assert [layer.given["rngs"] for layer in stack.layers] == ["keys", "keys"]


def test_lists_and_dicts_are_plain():
    model = ours({"_target_": "fakes.Model", "hidden": [3, 4]}, num_classes=5)
    assert type(model.given["hidden"]) is list
    assert type(ours({"_target_": "fakes.Data", "extra": {"a": 1}}).extra) is dict


def test_partial():
    made = ours({"_target_": "fakes.pair", "_partial_": True, "first": 1}, second=9)
    assert made(second=2) == (1, 2)
    import fakes

    assert ours({"_target_": "fakes.pair", "_partial_": True}) is fakes.pair
    assert ours({"_target_": "fakes.half", "second": 4}) == (1, 4)


def test_parts_stay_unbuilt():
    parts = [{"_target_": "fakes.pair", "second": "num_classes"}, "fakes.Model"]
    whole = ours({"_target_": "fakes.Whole", "parts": parts}, num_classes=5, rngs="keys")
    function, make = whole.parts
    assert function()(first=1) == (1, 5)
    model = make(hidden=[3], num_classes=2)
    assert model.given["num_classes"] == 2
    assert model.given["rngs"] == "keys"
    by_position = ours({"_target_": "fakes.Whole", "_args_": [parts]}, num_classes=5)
    assert by_position.parts[0]()(1) == (1, 5)
    with pytest.raises(InputError, match=r"'os.system' is outside"):
        ours({"_target_": "fakes.Whole", "parts": ["os.system"]}).parts[0]()
    with pytest.raises(InputError, match=r"fakes.pair needs num_classes, and this data has none"):
        ours({"_target_": "fakes.Whole", "parts": parts}).parts[0]()


def test_jax_partials_and_optax_factories_survive():
    import jax.numpy as jnp
    import optax

    node = {
        "_target_": "optax.inject_hyperparams",
        "inner_factory": {"_target_": "optax.sgd", "_partial_": True},
    }
    transform = resolve(node)(learning_rate=0.5)
    updates, _ = transform.update({"w": jnp.ones(2)}, transform.init({"w": jnp.ones(2)}))
    assert updates["w"].tolist() == [-0.5, -0.5]
    assert isinstance(
        resolve({"_target_": "optax.adam", "learning_rate": 1.0}), optax.GradientTransformation
    )


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ("???", "missing"),
        ({"_target_": "fakes.Model", "hidden": "???"}, "'hidden' is missing"),
        ({"_target_": "fakes.Model", "_convert_": "all"}, "'_convert_' is not a key"),
        ({"_target_": "fakes.Model", 3: 1}, "not a key"),
        ({"_target_": "fakes.pair"}, "could not be built: TypeError"),
        (
            {"_target_": "fakes.Model", "hidden": [3]},
            "fakes.Model needs num_classes, and this data has none",
        ),
        ({"_target_": "fakes.Task", "label_smoothing": 2}, "ValueError: label_smoothing must be"),
        ({"_target_": "os.system", "_args_": ["touch owned"]}, "outside"),
        ({"a": [{"_target_": "builtins.open", "_args_": ["owned", "w"]}]}, "outside"),
    ],
)
def test_errors_are_one_line(node, reason, tmp_path):
    with pytest.raises(InputError, match=reason) as caught:
        ours(node)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()
