"""Rules from paths to partitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from nnxtrain.config.schema import RuleConfig
from nnxtrain.errors import InputError
from nnxtrain.parallel.rules import partition

SIZES = {"data": 2, "fsdp": 2, "model": 4}
SHAPES = {"up.kernel": (6, 8), "up.bias": (8,), "norm.scale": (3,), "scalar": ()}


def test_the_first_rule_that_matches_counts():
    bias, up = RuleConfig("**.bias", spec=[]), RuleConfig("up", spec=[None, "model"])
    found = partition([bias, up, RuleConfig("**", largest="fsdp")], SHAPES, SIZES)
    assert found == {"up.kernel": P(None, "model"), "up.bias": P(), "norm.scale": P(), "scalar": P()}  # fmt: skip


def test_two_axes_may_cut_one_dimension():
    both = ["fsdp", "model"]
    rules = [RuleConfig("up.bias", spec=[both]), RuleConfig("up.kernel", largest=both)]
    found = partition(rules, SHAPES, SIZES)
    assert found["up.bias"] == P(("fsdp", "model"))
    assert found["up.kernel"] == P(None, ("fsdp", "model"))


@given(st.lists(st.integers(1, 12), max_size=4), st.integers(1, 6))
def test_the_largest_dimension_that_can_be_cut_is(shape, count):
    (spec,) = partition([RuleConfig("a", largest="x")], {"a": tuple(shape)}, {"x": count}).values()
    fitting = [n for n in shape if n % count == 0]
    if count == 1 or not fitting:
        assert spec == P()
    else:
        assert shape[len(spec) - 1] == max(fitting)
        assert spec == P(*[None] * (len(spec) - 1), "x")


def test_an_axis_of_one_device_asks_for_nothing():
    assert partition([RuleConfig("up.kernel", spec=["x", None])], SHAPES, {"x": 1})["up.kernel"] == P("x", None)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (RuleConfig("pu.kernel", spec=[]), r"rules\[0\]\.match: 'pu\.kernel' matches no parameter; did you mean 'up\."),
        (RuleConfig("up", spec=["modle"]), r"the mesh has no axis 'modle'; did you mean 'model'\?"),
        (RuleConfig("up"), r"mesh\.rules\[0\]: give spec .* or largest"),
        (RuleConfig("up", spec=["fsdp"], largest="fsdp"), r"give spec .* or largest"),
        (RuleConfig("up", spec="fsdp"), r"mesh\.rules\[0\]\.spec: expected a list .* got 'fsdp'"),
        (RuleConfig("up.kernel", spec=["fsdp", "fsdp"]), "fsdp cuts two dimensions"),
        (RuleConfig("up", spec=[None, "fsdp"]), r"2 entries, and up\.bias \[8\] has 1 dimensions"),
        (RuleConfig("up.kernel", spec=["model"]), r"model=4 does not divide dimension 0 of up\.kernel \[6, 8\]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(rule, message):
    with pytest.raises(InputError, match=message):
        partition([rule], SHAPES, SIZES)


def test_an_annotation_counts_where_no_rule_does():
    annotated = {"up.kernel": P("fsdp", "model"), "up.bias": P("model"), "norm.scale": P("embed")}
    found = partition([RuleConfig("up.bias", spec=[])], SHAPES, SIZES, annotated)
    assert found == {"up.kernel": P("fsdp", "model"), "up.bias": P(), "norm.scale": P(), "scalar": P()}  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (P("model"), r"the annotation of up\.kernel: model=4 does not divide dimension 0 of up\.kernel \[6, 8\]"),
        (P(None, None, "fsdp"), r"the annotation of up\.kernel: 3 entries, .* 2 dimensions"),
        (P("fsdp", "fsdp"), "the annotation of up.kernel: fsdp cuts two dimensions"),
    ],
)  # fmt: skip
def test_an_annotation_that_does_not_fit_is_said(spec, message):
    with pytest.raises(InputError, match=message):
        partition([], SHAPES, SIZES, {"up.kernel": spec})


def test_an_optional_rule_may_match_nothing():
    assert partition([RuleConfig("head", spec=["fsdp"], optional=True)], SHAPES, SIZES)["up.bias"] == P()  # fmt: skip
