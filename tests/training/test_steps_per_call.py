"""Several steps in one call, where nobody asked for a number."""

import jax.numpy as jnp
import pytest
from omegaconf import OmegaConf

import nnxtrain
from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.errors import InputError
from nnxtrain.training.plan import Plan
from nnxtrain.training.session import Session
from nnxtrain.training.steps_per_call import choose, has_convolution, products


def plan(total_steps=20_000, log_every=50, eval_every=469):
    return Plan(total_steps, 469, log_every, eval_every, eval_every)


def test_small_steps_of_a_long_run_share_calls_that_lead_up_to_the_logs():
    assert choose(plan(), seconds=1e-5) == 50
    assert choose(plan(), seconds=1.5e-4) == 10
    assert choose(plan(log_every=7), seconds=1e-5) == 7
    assert choose(plan(log_every=100), seconds=7e-5) == 25
    assert choose(plan(4_000), seconds=1e-5) == 1
    assert choose(plan(), seconds=5e-3) == 1
    assert choose(plan(), seconds=1e-5, loops=False) == 1


def test_products_are_those_of_the_platform_and_of_all_turns_of_a_loop():
    conv, x = nnx.Conv(3, 6, (5, 5), padding="VALID", rngs=nnx.Rngs(0)), jnp.ones((2, 8, 8, 3))
    program = nnx.make_jaxpr(lambda conv, x: conv(x))(conv, x)
    assert products(program, "gpu") == 2 * (2 * 4 * 4 * 6) * (5 * 5 * 3)
    assert (has_convolution(program, "gpu"), has_convolution(program, "cpu")) == (True, False)
    assert products(program, "cpu") == 2 * (2 * 4 * 4 * 6) * (5 * 8 * 3)  # the band's zeros too
    cell = nnx.RNN(nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0)))
    rolled = nnx.make_jaxpr(lambda cell, x: cell(x))(cell, jnp.ones((2, 7, 3)))
    assert products(rolled, "cpu") == 7 * 2 * 2 * 4 * (3 + 4)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(20_000, 16), (100, 1)],  # an evaluation each 16 steps
)
def test_the_choice_of_a_session(steps, expected):
    config = checked(["config=linear_regression", "trainer.epochs=null", f"trainer.steps={steps}"])
    assert Session.open(config).steps_per_call == expected


def test_the_run_keeps_to_the_choice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = [
        "config=linear_regression",
        "trainer.epochs=null",
        "trainer.steps=5000",
        "trainer.eval_every=2500",
    ]
    run = nnxtrain.fit([*overrides, "trainer.log_every=500"])
    kept = OmegaConf.load(run.directory / "config.yaml").trainer.steps_per_call
    assert kept == 50
    with pytest.raises(InputError, match=r"trainer.log_every cannot change.*steps_per_call"):
        nnxtrain.fit([f"run={run.directory}", "trainer.log_every=10"])
