"""A new run that begins with trained weights."""

import numpy as np
import pytest

import nnxtrain
from nnxtrain import nnx
from nnxtrain.api import beginning_from
from nnxtrain.config.saved import load
from nnxtrain.errors import InputError
from nnxtrain.training.restore import restore_model

TINY = ["data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.steps=2",
        "trainer.batch_size=64", "trainer.ema=0.5"]  # fmt: skip
FROZEN = "optim.groups=[{match: linears.0, frozen: true}]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return nnxtrain.fit([*TINY, f"runs_dir='{folder}'"]).directory


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def kernels(directory, checkpoint="last"):
    model = restore_model(directory, checkpoint=checkpoint).state.model
    return [np.array(linear.kernel.value) for linear in model.linears]


def test_a_run_from_another_has_its_averages_and_overrides(trained, capsys):
    run = nnxtrain.fit([f"from={trained}", FROZEN, "trainer.steps=1"]).directory
    assert "starting from" in capsys.readouterr().out
    config = load(run / "config.yaml")
    assert (config.model["hidden"], config.trainer.steps, config.init.run) == (
        [16],
        1,
        str(trained),
    )
    averages = restore_model(trained, checkpoint="best").state.averaged
    tuned = restore_model(run, checkpoint="last").state
    for model in (tuned.model, tuned.averaged):  # the first layer is frozen, the second has moved
        np.testing.assert_array_equal(
            model.linears[0].kernel.value, averages.linears[0].kernel.value
        )
    assert not np.array_equal(tuned.model.linears[1].kernel.value, averages.linears[1].kernel.value)


def test_parts_may_stay_fresh_and_prefixes_may_have_other_names(trained):
    other = ["model.hidden=[16,16]", "init.skip=[linears.1]", "init.map=[linears.1:linears.2]"]
    run = nnxtrain.fit([f"from={trained}", *other, "trainer.steps=1", FROZEN]).directory
    old, new = kernels(trained, "best"), kernels(run)
    assert [k.shape for k in new] == [(3072, 16), (16, 16), (16, 5)]
    averages = restore_model(trained).state.averaged
    np.testing.assert_array_equal(new[0], averages.linears[0].kernel.value)
    assert np.abs(new[2] - averages.linears[1].kernel.value).max() < 0.01  # one step of Adam
    assert old[1].shape == new[2].shape
    # A third run begins with all of this one: what it left fresh or renamed is its own affair.
    third = beginning_from([f"from={run}", "init.checkpoint=last"])
    assert [text for text in third if "init." in text] == [
        "init.checkpoint=last",
        f"init.run='{run}'",
    ]
    assert {"model.hidden=[16,16]", FROZEN} <= set(third)
    other = beginning_from([f"from={run}", "data=cifar10"])  # not with the name of the old data
    assert [text for text in other if text.startswith("data")] == ["data=cifar10"]
    assert {"model=mlp", "model.hidden=[16,16]"} <= set(other)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.classes=[star,cross]"], "linears.1.kernel is float32[16,5] and should be float32[16,2]"),
        (["data.classes=[star,cross]"], "init.skip=[linears]"),
        (["model.hidden=[16,16]", "init.skip=[linears.1]"], "it lacks linears.2.kernel"),
        (["init.skip=[linaers]"], "init.skip: 'linaers' matches no parameter; did you mean 'linears'?"),
        (["init.map=[body:linears]"], "init.map: there is nothing to rename"),
        (["init.map=[body]"], "init.map: expected OLD:NEW"),
        (["init.checkpoint=7"], "does not exist"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_before_there_is_a_run(
    trained, tmp_path, overrides, message
):
    with pytest.raises(InputError) as error:
        nnxtrain.fit([f"from={trained}", f"runs_dir='{tmp_path}/runs'", *overrides])
    assert message in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_weights_may_come_from_a_safetensors_file(trained, tmp_path):
    averages = restore_model(trained).state.averaged
    nnx.save_safetensors(tmp_path / "weights.safetensors", averages, nnx.Param)
    run = nnxtrain.fit(
        [*TINY, FROZEN, "trainer.steps=1", "init.file=weights.safetensors"]
    ).directory
    np.testing.assert_array_equal(kernels(run)[0], averages.linears[0].kernel.value)
    with pytest.raises(InputError, match=r"init\.file=nothing cannot be read"):
        nnxtrain.fit([*TINY, "init.file=nothing"])
