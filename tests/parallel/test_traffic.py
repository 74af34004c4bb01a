"""What devices send each other in a step: no more than the layout needs."""

import jax
import pytest

from nnxtrain.config import compose
from nnxtrain.training.check import estimate, lower_step
from nnxtrain.training.session import Session
from scripts.scaling.traffic import traffic

OVERRIDES = [
    "config=transformer_char",
    "data=text",
    "model=gpt2_small",
    "model.num_layers=1",
    "model.width=512",  # of narrower ones XLA cuts the work as it should be cut, left alone
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


def test_fsdp_sends_parameters_and_gradients_not_activations(session):
    whole = estimate(session(), compiled=False).state["parameters"]
    share = 1 - 1 / jax.device_count()
    gathered = share * whole
    summed = (
        2 * share * whole
    )  # a CPU's compiler makes no reduce-scatter of it, which would be half
    assert sent(session("mesh=fsdp")) == pytest.approx(gathered + summed, rel=0.1)
