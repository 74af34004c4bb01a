"""graphdef_diff names each difference by its path, and finds one exactly where GraphDefs differ."""

import itertools
from functools import partial

import jax.numpy as jnp
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.inspection.graphdef_diff import identity_advice


class Other(nnx.Module):
    pass


class Model(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.layers = [nnx.Linear(2, 3, rngs=rngs), nnx.Linear(3, 2, rngs=rngs)]
        self.pair = (nnx.Param(jnp.ones(2)), "name")
        self.scale = jnp.ones(3)
        self.up = self
        self.bound = partial(scaled, nnx.Param(jnp.ones(1)))


def scaled(parameter, x):
    return parameter * x


def shifted(parameter, x):
    return parameter + x


def changed(change):
    model = Model()
    change(model)
    return nnx.graphdef(model)


def set_(path, value):
    def change(model):
        *owners, name = path.split(".")
        for owner in owners:
            model = model[int(owner)] if owner.isdecimal() else getattr(model, owner)
        setattr(model, name, value)

    return change


def delete(model):
    del model.layers[1]


def share(model):
    model.layers[1] = model.layers[0]


def tie(model):
    model.layers[1].bias = model.layers[0].bias


def reorder(model):
    dropout = model.dropout
    del model.dropout
    model.dropout = dropout


def metadata(model):
    model.layers[0].kernel.sharding_names = ("data", None)


def retype(model):
    model.layers[0].kernel = nnx.BatchStat(jnp.ones((2, 3)))


CHANGES = {
    "static": (set_("dropout.deterministic", True), ["dropout.deterministic: False -> True"]),
    "type of a number": (set_("dropout.deterministic", 0), ["dropout.deterministic: False -> 0"]),
    "nested": (set_("layers.0.out_features", 4), ["layers.0.out_features: 3 -> 4"]),
    "removed": (delete, ["layers.1: Linear -> absent"]),
    "added": (set_("extra", None), ["extra: absent -> None"]),
    "added variable": (set_("extra", nnx.Param(jnp.ones(1))), ["extra: absent -> Param"]),
    "variable for a value": (set_("layers.0.bias", None), ["layers.0.bias: Param -> None"]),
    "class": (set_("dropout", Other()), ["dropout: Dropout -> Other"]),
    "kind": (retype, ["layers.0.kernel: Param -> BatchStat"]),
    "metadata": (metadata, ["layers.0.kernel.sharding_names: absent -> ('data', None)"]),
    "array": (set_("scale", "none"), ["scale: Array -> 'none'"]),
    "tuple": (set_("pair", (nnx.Param(jnp.ones(2)), "other")), ["pair.1: 'name' -> 'other'"]),
    "shared object": (share, ["layers.1: Linear of its own -> Linear shared with layers.0"]),
    "shared variable": (tie, ["layers.1.bias: Param of its own -> Param shared with layers.0.bias"]),
    "cycle": (set_("up", None), ["up: Model -> None"]),
    "function of a partial": (
        set_("bound", partial(shifted, nnx.Param(jnp.ones(1)))),
        ["bound: scaled -> shifted"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_difference(name):
    change, expected = CHANGES[name]
    before, after = nnx.graphdef(Model()), changed(change)
    assert [str(d) for d in nnx.graphdef_diff(before, after)] == expected
    back = nnx.graphdef_diff(after, before)
    assert [(d.path, d.new, d.old) for d in back] == [
        (d.path, d.old, d.new) for d in nnx.graphdef_diff(before, after)
    ]


def test_order():
    (found,) = nnx.graphdef_diff(nnx.graphdef(Model()), changed(reorder))
    assert found.path == ()
    assert found.old.startswith("attributes in the order dropout, layers")
    assert found.new.endswith("bound, dropout")


def test_empty_if_and_only_if_equal():
    graphdefs = [nnx.graphdef(Model()), nnx.graphdef(Model()), changed(reorder)]
    graphdefs += [changed(change) for change, _ in CHANGES.values()]
    for a, b in itertools.product(graphdefs, repeat=2):
        assert (a == b) == (not nnx.graphdef_diff(a, b))


def test_several_differences_come_in_the_order_of_the_attributes():
    def change(model):
        model.layers[1].use_bias = False
        model.dropout.rate = 0.1

    found = nnx.graphdef_diff(nnx.graphdef(Model()), changed(change))
    assert [d.path for d in found] == [("dropout", "rate"), ("layers", 1, "use_bias")]


def test_frozen_variables():
    model = Model()
    before = nnx.graphdef(model)
    with nnx.frozen(model.layers[0]):
        found = nnx.graphdef_diff(before, nnx.graphdef(model))
    assert [str(d) for d in found] == [
        "layers.0.kernel: not frozen -> frozen", "layers.0.bias: not frozen -> frozen",
    ]  # fmt: skip


def test_an_optimizer_with_and_without_its_model():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    other = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    with_its_model = nnx.graphdef((model, optimizer))
    with_another = nnx.graphdef((other, optimizer))
    assert [str(d) for d in nnx.graphdef_diff(with_its_model, with_another)] == [
        "1: its model is 0 -> its model is not passed"
    ]


def test_a_class_defined_again_is_said_to_be():
    def define():
        class Layer(nnx.Module):
            pass

        return Layer()

    (found,) = nnx.graphdef_diff(nnx.graphdef(define()), nnx.graphdef(define()))
    assert found.advice == "another class of the same name: it was defined again"


class Config:
    pass


class Comparable:
    def __eq__(self, other):
        return False

    __hash__ = None

    def __repr__(self):
        return "Comparable()"


def made(value):
    return lambda: value


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lambda x: x, "define it once, outside of what builds the model"),
        (lambda: made(3), "functools.partial"),
        (lambda: partial(lambda x, y: x, y=1), "a function made anew"),
        (lambda: ("a", [lambda x: x]), "a function made anew"),
        (lambda: {"f": lambda x: x}, "a function made anew"),
        (Config, "a Config is compared by identity; give it __eq__ and __hash__"),
        (Comparable, "they look alike, but == says no: see Comparable.__eq__"),
        (lambda: optax.sgd(0.1), "a function made anew"),
    ],
)
def test_values_that_look_alike_come_with_advice(make, words):
    module, other = nnx.Module(), nnx.Module()
    module.value, other.value = make(), make()
    found = nnx.graphdef_diff(nnx.graphdef(module), nnx.graphdef(other))
    assert found
    assert all(words in d.advice for d in found)


def test_what_is_plain_to_see_needs_no_advice():
    assert identity_advice(1, 2) == ""
    assert identity_advice("a", None) == ""
    assert identity_advice(nnx.relu, nnx.gelu) == ""
    assert identity_advice(scaled, shifted) == ""
    assert identity_advice(Config, Comparable) == ""
