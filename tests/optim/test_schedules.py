"""Schedules against numbers of torch.optim.lr_scheduler (2.13), 21 steps with a peak of 0.1, and against formulas."""

import jax
import numpy as np
import pytest

from nnxtrain import optim
from nnxtrain.errors import InputError

STEPS = 20
TORCH = {
    "cosine": [
        0.1, 0.0993906, 0.0975773, 0.0946048, 0.0905463, 0.0855018, 0.0795954, 0.0729725, 0.0657963,
        0.0582435, 0.0505, 0.0427565, 0.0352037, 0.0280275, 0.0214046, 0.0154982, 0.0104537, 0.00639518,
        0.0034227, 0.00160943, 0.001
    ],
    "warm_cosine": [
        0.0, 0.025, 0.05, 0.075, 0.1, 0.0990393, 0.096194, 0.0915735, 0.0853553, 0.0777785, 0.0691342,
        0.0597545, 0.05, 0.0402455, 0.0308658, 0.0222215, 0.0146447, 0.00842652, 0.00380602, 0.000960736
    ],
    "linear": [
        0.1, 0.0955, 0.091, 0.0865, 0.082, 0.0775, 0.073, 0.0685, 0.064, 0.0595, 0.055, 0.0505, 0.046,
        0.0415, 0.037, 0.0325, 0.028, 0.0235, 0.019, 0.0145, 0.01
    ],
    "polynomial": [
        0.1, 0.09025, 0.081, 0.07225, 0.064, 0.05625, 0.049, 0.04225, 0.036, 0.03025, 0.025, 0.02025, 0.016,
        0.01225, 0.009, 0.00625, 0.004, 0.00225, 0.001, 0.00025, 0.0
    ],
    "exponential": [
        0.1, 0.0794328, 0.0630957, 0.0501187, 0.0398107, 0.0316228, 0.0251189, 0.0199526, 0.0158489,
        0.0125893, 0.01, 0.00794328, 0.00630957, 0.00501187, 0.00398107, 0.00316228, 0.00251189, 0.00199526,
        0.00158489, 0.00125893, 0.001
    ],
    "multistep": [
        0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.004, 0.004, 0.004,
        0.004, 0.004, 0.004
    ],
    "steplr": [
        0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.025,
        0.025, 0.0125, 0.0125, 0.0125
    ],
    "onecycle": [
        0.004, 0.0104308, 0.028, 0.052, 0.076, 0.0935692, 0.1, 0.0987464, 0.0950485, 0.0890916, 0.0811746,
        0.0716943, 0.0611262, 0.0500002, 0.0388742, 0.0283061, 0.0188258, 0.0109088, 0.00495194, 0.001254,
        4e-07
    ],
    "restarts": [
        0.1, 0.0775, 0.0325, 0.1, 0.0939711, 0.0775, 0.055, 0.0325, 0.0160289, 0.1, 0.0984667, 0.0939711,
        0.0868198, 0.0775, 0.0666469, 0.055, 0.0433531, 0.0325, 0.0231802, 0.0160289, 0.0115333
    ],
}  # fmt: skip
OURS = {
    "cosine": optim.cosine(0.1, STEPS, final=0.01),
    "warm_cosine": optim.cosine(0.1, STEPS, warmup="4 steps"),
    "linear": optim.linear(0.1, STEPS, final=0.1),
    "polynomial": optim.polynomial(0.1, STEPS, power=2.0),
    "exponential": optim.exponential(0.1, STEPS, final=0.01),
    "multistep": optim.step(0.1, STEPS, 5, milestones=[0.5, "3 epochs"], gamma=0.2),
    "steplr": optim.step(0.1, STEPS, every="6 steps", gamma=0.5),
    "onecycle": optim.one_cycle(0.1, STEPS, warmup=0.3),
    "restarts": optim.cosine_restarts(0.1, 21, cycles=3, growth=2.0, final=0.1),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_gives_the_same(name):
    steps = np.arange(len(TORCH[name]))
    rates = [float(OURS[name](step)) for step in steps]
    np.testing.assert_allclose(rates, TORCH[name], rtol=2e-5, atol=1e-8)
    compiled = jax.jit(OURS[name])  # as an optimizer calls it, with a count that is traced
    np.testing.assert_allclose([compiled(step) for step in steps[:3]], rates[:3], rtol=1e-6)


def values(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


@pytest.mark.parametrize(
    ("shape", "fallen"),
    [
        ("linear", lambda x: x),
        ("sqrt", np.sqrt),
        ("cosine", lambda x: (1 - np.cos(np.pi * x)) / 2),
    ],
)
def test_warmup_stable_decay(shape, fallen):
    schedule = optim.warmup_stable_decay(
        0.2, 100, 10, warmup="1 epochs", decay="30%", shape=shape, final=0.5
    )
    steps = np.arange(0, 101, 5)
    expected = 0.2 * np.minimum(steps / 10, 1)
    x = np.clip((steps - 70) / 30, 0, 1)
    expected *= 1 - 0.5 * fallen(x)
    np.testing.assert_allclose(values(schedule, steps), expected, rtol=1e-6)


def test_rsqrt():
    steps = np.array([0, 1, 5, 10, 11, 40, 100])
    expected = 0.2 * np.minimum(steps / 10, np.sqrt(10 / np.maximum(steps, 1)))
    np.testing.assert_allclose(
        values(optim.rsqrt(0.2, 100, warmup=0.1), steps), expected, rtol=1e-6
    )


@pytest.mark.parametrize("make", [optim.linear, optim.polynomial, optim.exponential, optim.cosine])
def test_warm_up_is_a_line_from_0_and_the_end_is_the_last_rate(make):
    schedule = make(0.2, 40, 8, warmup="0.5 epochs", final=0.25)
    np.testing.assert_allclose(
        values(schedule, [0, 1, 2, 4, 40]), [0, 0.05, 0.1, 0.2, 0.05], rtol=1e-6
    )


def test_a_cycle_of_less_than_a_step_is_left_out():
    """Of cycles that shrink to a tenth each, the last of a hundred steps has none."""
    schedule = optim.cosine_restarts(0.1, 100, cycles=4, growth=0.1)
    assert np.isfinite(values(schedule, [90, 99, 100, 101])).all()


def test_steps_count_milestones_from_the_start_of_the_run():
    schedule = optim.step(1.0, 10, milestones=["4 steps"], warmup="2 steps", gamma=0.5)
    np.testing.assert_allclose(values(schedule, range(6)), [0, 0.5, 1, 1, 0.5, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.cosine(1.0, 9, warmup=5), "warmup is a share, 0 to 1; it got 5 .*'5 steps'"),
        (lambda: optim.cosine(1.0, 9, warmup=float("nan")), "warmup is a share"),
        (lambda: optim.cosine(1.0, 9, warmup="5 minutes"), "it got '5 minutes'"),
        (lambda: optim.cosine(1.0, 9, warmup="-5 steps"), "it got '-5 steps'"),
        (lambda: optim.cosine(1.0, 9, warmup="150%"), "warmup is a share"),
        (lambda: optim.cosine(1.0, 9, warmup="2 epochs"), "how many steps an epoch has"),
        (lambda: optim.cosine(1.0, 9, final=2), "final is a share"),
        (lambda: optim.exponential(1.0, 9, final=0), "final must be above 0"),
        (lambda: optim.one_cycle(1.0, 9, initial=-1), "initial is a share"),
        (lambda: optim.step(1.0, 9), "give either every .* or milestones"),
        (lambda: optim.step(1.0, 9, every=0.5, milestones=[0.5]), "give either"),
        (lambda: optim.step(1.0, 9, every=0.01), "less than a step"),
        (lambda: optim.step(1.0, 9, milestones=[0.5, 30]), r"milestones\[1\] is a share"),
        (lambda: optim.warmup_stable_decay(1.0, 9, shape="log"), "shape is 'log'; choose linear"),
        (lambda: optim.cosine_restarts(1.0, 9, cycles=0), "cycles is 1 or more"),
    ],
)
def test_values_outside_their_range(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert not isinstance(caught.value, InputError)  # what builds the node says which one it was
    assert "\n" not in str(caught.value)
