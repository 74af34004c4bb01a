"""Whether a run's length may change, by what its optimizer was told of it."""

import pytest

from nnxtrain.config import compose, save
from nnxtrain.errors import InputError
from nnxtrain.training.resume import overridden

EXPONENTIAL = "{_target_: optax.exponential_decay, init_value: 1.0, transition_steps: 5, decay_rate: 0.5}"  # fmt: skip


def lengthened(overrides, tmp_path):
    save(compose(overrides), tmp_path / "config.yaml")
    return overridden(tmp_path / "config.yaml", ["trainer.epochs=99"]).trainer.epochs


@pytest.mark.parametrize(
    "overrides",
    [["optim=adam"], ["optim/schedule=constant"], [f"optim.schedule={EXPONENTIAL}"]],
)
def test_it_may_where_no_schedule_knows_it(overrides, tmp_path):
    assert lengthened(overrides, tmp_path) == 99


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optim/schedule=cosine", "optim.schedule"),
        ("optim.groups=[{match: a, schedule: {_target_: nnxtrain.optim.linear}}]", "optim.groups[0].schedule"),
        ("optim.optimizer={_target_: optax.chain, _args_: [{_target_: optax.scale_by_schedule, step_size_fn: "
         "{_target_: nnxtrain.optim.linear}}]}", "optim.optimizer"),
    ],
)  # fmt: skip
def test_it_may_not_where_one_was_laid_out_over_it(override, key, tmp_path):
    with pytest.raises(InputError) as caught:
        lengthened([override], tmp_path)
    assert f"{key} was laid out over its whole length" in str(caught.value)
