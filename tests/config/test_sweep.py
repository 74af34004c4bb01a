import pytest

from nnxtrain.config import check_trials, expand
from nnxtrain.errors import InputError


def test_the_product_in_order(tree):
    assert expand(
        ["seed=1,2", "model.hidden=[3],[4,5]", "name=a", "hydra/launcher=basic"], tree
    ) == [
        ["seed=1", "model.hidden=[3]", "name=a"],
        ["seed=1", "model.hidden=[4,5]", "name=a"],
        ["seed=2", "model.hidden=[3]", "name=a"],
        ["seed=2", "model.hidden=[4,5]", "name=a"],
    ]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("seed=range(1,4)", ["seed=1", "seed=2", "seed=3"]),
        ("optim=glob(*w)", ["optim=adamw", "optim=nadamw"]),
        ("seed=5", ["seed=5"]),
        ("model.hidden=choice([1],[2])", ["model.hidden=[1]", "model.hidden=[2]"]),
        (
            "optim.learning_rate=1e-3,1e-2",
            ["optim.learning_rate=0.001", "optim.learning_rate=0.01"],
        ),
    ],
)
def test_grammar(tree, override, values):
    assert expand([override], tree) == [[value] for value in values]


def test_a_recipe_may_declare_the_sweep(tmp_path, tree):
    (tmp_path / "configs" / "config").mkdir(parents=True)
    (tmp_path / "configs" / "config" / "seeds.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"
    )
    assert expand(["config=seeds"], tree) == [
        ["seed=1", "config=seeds"],
        ["seed=2", "config=seeds"],
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=range(3,1)", "override 'seed=range(3,1)': the sweep has no values"),
        ("optim=glob(zz*)", "override 'optim=glob(zz*)': the sweep has no values"),
        (
            "seed=interval(1,3)",
            "override 'seed=interval(1,3)': an interval is not a list of values",
        ),
        ("model.hidden=1,2,", "override 'model.hidden=1,2,': mismatched input"),
        ("hydra.verbose=true,false", "Sweeping over Hydra's configuration is not supported"),
        ("sede=1,2", "override 'sede=1,2': there is no key 'sede'; did you mean 'seed'?"),
    ],
)
def test_bad_sweeps(tree, override, line):
    with pytest.raises(InputError) as caught:
        check_trials(expand([override], tree), tree, ["fakes"])
    assert line.replace("sede=1,2", "sede=1") in str(caught.value) or line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_trial_is_checked(tree):
    trials = expand(["seed=1,2", "model.hidden=[3],abc"], tree)
    with pytest.raises(InputError) as caught:
        check_trials(trials, tree, ["fakes"])
    assert str(caught.value).startswith("trial 1 (seed=1 model.hidden=abc): override")
    check_trials(expand(["seed=1,2"], tree), tree, ["fakes"])
