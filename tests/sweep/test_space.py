"""Values in Hydra's grammar, and the combinations that samplers make of them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.errors import InputError
from nnxtrain.sweep.samplers import planned
from nnxtrain.sweep.samplers.planned import plan
from nnxtrain.sweep.space import Choices, Interval, Space, parse_space
from nnxtrain.sweep.spec import SamplerName, SweepConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=1,2", Choices("seed", ("1", "2"))),
        ("optim=choice(adam, sgd)", Choices("optim", ("adam", "sgd"))),
        ("seed=range(1,8,3)", Choices("seed", ("1", "4", "7"), 3)),
        ("model.hidden=[64,64],[32]", Choices("model.hidden", ("[64,64]", "[32]"))),
        ("+a.b=1,2", Choices("+a.b", ("1", "2"))),
        ("x=interval(0.5,2)", Interval("x", 0.5, 2.0)),
        ("x=tag(log,interval(1e-4,1e-1))", Interval("x", 1e-4, 1e-1, log=True)),
        ("x=int(interval(1,8))", Interval("x", 1, 8, integer=True)),
        ("x=tag(log,int(interval(1,64)))", Interval("x", 1, 64, log=True, integer=True)),
    ],
)
def test_grammar(text, expected):
    assert parse_space(["a=1", text]).parts == ("a=1", expected)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed=range(3,1)", "override 'seed=range(3,1)': the sweep has no values"),
        ("seed=1,2,1", "override 'seed=1,2,1': 1 is given twice"),
        ("x=interval(2,1)", "the interval is empty; give the lower end first"),
        ("x=tag(log,interval(0,1))", "a logarithm needs ends above 0"),
        ("hydra/launcher=basic", "belong to `nnxtrain fit -m`"),
        ("seed=[1", "override 'seed=[1'"),
    ],
)
def test_bad_grammar(text, line):
    with pytest.raises(InputError) as caught:
        parse_space([text])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_is_the_product_the_first_key_slowest():
    space = parse_space(["a=1,2", "b=x", "c=u,v,w"])
    expected = [[f"a={a}", "b=x", f"c={c}"] for a, c in itertools.product("12", "uvw")]
    assert plan(space, SweepConfig()) == expected
    assert space.size == 6


@pytest.mark.parametrize(
    ("spec", "texts", "line"),
    [
        (SweepConfig(), ["x=interval(0,1)"], "x: a grid has no end over an interval"),
        (SweepConfig(trials=3), ["x=1,2"], "sweep.trials=3: a grid has every combination"),
        (SweepConfig(sampler=SamplerName.random), ["x=1,2"], "sweep.trials=N"),
        (SweepConfig(sampler=SamplerName.random, trials=3), ["x=1,2"], "there are 2 combinations"),
        (
            SweepConfig(sampler=SamplerName.random, trials=4),
            ["x=int(interval(1,3))"],
            "there are 3",
        ),
    ],
)
def test_plans_that_cannot_be(spec, texts, line):
    with pytest.raises(InputError, match=line.replace(".", r"\.")):
        plan(parse_space(texts), spec)


def values(trials, key):
    return [
        float(next(t for t in trial if t.startswith(f"{key}=")).split("=")[1]) for trial in trials
    ]


def test_random_search_is_even_and_repeatable():
    space = parse_space(["a=tag(log,interval(1e-4,1))", "n=int(interval(1,4))", "c=1,2"])
    spec = SweepConfig(sampler=SamplerName.random, trials=2000, seed=3)
    trials = plan(space, spec)
    assert trials == plan(space, spec)
    few = SweepConfig(sampler=SamplerName.random, trials=10, seed=3)
    assert plan(space, few) == trials[:10]  # more trials are those and others
    assert plan(space, SweepConfig(sampler=SamplerName.random, trials=10, seed=4)) != trials[:10]
    decades = np.histogram(np.log10(values(trials, "a")), bins=4, range=(-4, 0))[0]
    assert abs(decades - 500).max() < 90  # 4 standard deviations of a binomial
    for key, count in (("n", 4), ("c", 2)):
        found = np.unique_counts(np.array(values(trials, key)))
        assert list(found.values) == list(range(1, count + 1))
        assert abs(found.counts - 2000 / count).max() < 90


def test_random_search_takes_nothing_twice():
    space = parse_space(["a=1,2,3", "n=int(interval(1,3))"])
    trials = plan(space, SweepConfig(sampler=SamplerName.random, trials=9))
    assert len({tuple(trial) for trial in trials}) == 9


def test_an_interval_with_fewer_numbers_than_trials_is_said(monkeypatch):
    monkeypatch.setattr(planned, "AGAIN", 100)
    spec = SweepConfig(sampler=SamplerName.random, trials=2)
    with pytest.raises(InputError, match="no more than 1 combinations were found"):
        plan(parse_space(["x=interval(0.5,0.5)"]), spec)


@given(
    low=st.floats(1e-6, 1e6),
    width=st.floats(1, 1e6),
    share=st.floats(0, 1, exclude_max=True),
    log=st.booleans(),
)
def test_what_is_written_lies_in_the_interval(low, width, share, log):
    interval = Interval("x", low, low * width, log)
    value = float(interval.text(interval.at(share)))
    assert interval.low <= value <= interval.high
    assert math.isclose(value, interval.at(share), rel_tol=1e-5)


def test_corners_have_every_value_and_both_ends():
    space = Space(("k=0", Choices("a", ("1", "2", "3")), Interval("x", 0.5, 2.0)))
    corners = list(space.corners())
    assert len(corners) == 1 + 2 + 1
    assert {text for corner in corners for text in corner} == {
        "k=0",
        "a=1",
        "a=2",
        "a=3",
        "x=0.5",
        "x=2",
    }
