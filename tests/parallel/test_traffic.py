"""What devices send each other in a step: no more than the layout needs."""

import contextlib

import jax
import pytest

from nnxtrain.config import compose
from nnxtrain.parallel.layout import Layout
from nnxtrain.training.check import estimate, lower_step
from nnxtrain.training.session import Session
from scripts.scaling.traffic import traffic

OVERRIDES = [
    "config=transformer_char",
    "data=text",
    "model.width=256",
    "model.num_layers=1",
    "model.num_heads=4",
    "model.max_length=256",
    "data.length=256",
    "trainer.batch_size=16",
]


@pytest.fixture
def session(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(map(chr, range(32, 127))) * 400)

    def make(*mesh: str) -> Session:
        return Session.open(compose([*OVERRIDES, f"data.train={text}", *mesh]))

    return make


def sent(session: Session) -> int:
    return sum(traffic(lower_step(session).compile().as_text(), jax.device_count()).values())


def test_fsdp_sends_parameters_and_gradients_not_activations(session, monkeypatch):
    fsdp = session("mesh=fsdp")
    whole = estimate(session(), compiled=False).state["parameters"]
    share = 1 - 1 / jax.device_count()
    gathered = share * whole
    summed = (
        2 * share * whole
    )  # a CPU's compiler does not make a reduce-scatter of it, which would be half
    assert sent(fsdp) == pytest.approx(gathered + summed, rel=0.1)
    monkeypatch.setattr(Layout, "gathered", lambda self, model: contextlib.nullcontext())
    assert sent(session("mesh=fsdp")) > 2 * (gathered + summed)


def test_data_parallel_sends_gradients(session):
    whole = estimate(session(), compiled=False).state["parameters"]
    share = 1 - 1 / jax.device_count()
    assert sent(session("mesh=data", "mesh.data=-1")) == pytest.approx(2 * share * whole, rel=0.1)
