"""``sweep.KEY=VALUE`` and the file: types, ranges, what wins."""

import pytest

from nnxtrain.errors import InputError
from nnxtrain.sweep.spec import SweepConfig, from_json, read_spec


def test_a_file_and_what_wins_over_it(tmp_path):
    file = tmp_path / "lr.yaml"
    file.write_text(
        "sampler: random\ntrials: 8\nslurm:\n  partition: gpu\noverrides:\n"
        "  config: lenet_cifar5\n  optim.learning_rate: 1e-4,1e-3\n  model.hidden: [64, 64]\n  seed: 1,2\n"
    )
    spec, overrides = read_spec(["sweep.trials=3", "seed=5"], file)
    assert (spec.sampler.value, spec.trials, spec.slurm.partition) == ("random", 3, "gpu")
    assert overrides == [
        "config=lenet_cifar5",
        "optim.learning_rate=1e-4,1e-3",
        "model.hidden=[64,64]",
        "seed=5",
    ]
    assert from_json(spec.to_json()) == spec


def test_overrides_may_be_a_list(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("overrides:\n  - seed=range(1,4)\n  - optim=adam\n")
    assert read_spec([], file) == (SweepConfig(), ["seed=range(1,4)", "optim=adam"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sweep.sampler=tep", "override 'sweep.sampler=tep': sweep.sampler: expected one of"),
        ("sweep.sampler=tep", "did you mean 'tpe'?"),
        ("sweep.trails=3", "sweep has no key 'trails'; did you mean 'trials'?"),
        (
            "sweep.slurm.partitoin=x",
            "sweep.slurm has no key 'partitoin'; did you mean 'partition'?",
        ),
        ("sweep.slurm=x", "sweep.slurm: expected a group of keys, got 'x'"),
        ("sweep.trials=many", "sweep.trials"),
        ("sweep.trials=0", "sweep.trials: must be at least 1, got 0"),
        ("sweep.parallel=1,2", "a sweep has one value of this"),
        ("sweep.local.cores=0", "sweep.local.cores: must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_line(text, line):
    with pytest.raises(InputError) as caught:
        read_spec([text])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("sampler: [", "is not YAML"),
        ("- a\n", "expected keys and values"),
        ("smapler: grid\n", "sweep has no key 'smapler'; did you mean 'sampler'?"),
        ("overrides: 3\n", "overrides: expected KEY: VALUE lines"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, line):
    file = tmp_path / "s.yaml"
    file.write_text(content)
    with pytest.raises(InputError) as caught:
        read_spec([], file)
    assert str(caught.value).startswith(str(file))
    assert line in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_spec([], tmp_path / "none.yaml")
