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


def test_the_mesh_may_change(tmp_path):
    save(compose(["mesh.data=2"]), tmp_path / "config.yaml")
    mesh = overridden(tmp_path / "config.yaml", ["mesh=fsdp", "mesh.fsdp=4"]).mesh
    assert (mesh.data, mesh.fsdp, mesh.rules[0].largest) == (1, 4, "fsdp")
    with pytest.raises(InputError, match=r"mesh=fdsp.*did you mean 'fsdp'"):
        overridden(tmp_path / "config.yaml", ["mesh=fdsp"])
    with pytest.raises(InputError, match=r"mesh\.fsdp: .*'two'"):
        overridden(tmp_path / "config.yaml", ["mesh.fsdp=two"])
    with pytest.raises(InputError, match=r"mesh\.fsdp: a number of devices, or -1"):
        overridden(tmp_path / "config.yaml", ["mesh.fsdp=0"])
