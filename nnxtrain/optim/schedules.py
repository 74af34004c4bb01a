"""Learning-rate schedules over the whole length of a run.

A schedule gives the rate for the number of updates made so far. All take ``learning_rate``, the peak, and the run's
``total_steps`` and ``steps_per_epoch``, which the run gives. ``warmup`` is the time in which the rate rises linearly from
0, and ``final`` the last rate as a share of the peak. Times are a share of the run, or text: ``"500 steps"``,
``"2 epochs"``, ``"5%"``. Numbers outside their range raise ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import optax

from nnxtrain.optim.durations import Duration, in_steps


def constant(learning_rate: float) -> optax.Schedule:
    """Stay at the rate.

    >>> constant(0.1)(50)
    0.1
    """
    return optax.constant_schedule(learning_rate)


def cosine(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.0,
    final: float = 0.0,
) -> optax.Schedule:
    """Rise linearly, then fall along half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).

    >>> schedule = cosine(0.1, 100, warmup=0.1)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    _share("final", final)
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    fall = optax.cosine_decay_schedule(learning_rate, max(total_steps - rise, 1), alpha=final)
    return _after_warmup(learning_rate, rise, fall)


def linear(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.0,
    final: float = 0.0,
) -> optax.Schedule:
    """Rise linearly, then fall linearly.

    >>> schedule = linear(0.1, 100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """
    return polynomial(learning_rate, total_steps, steps_per_epoch, warmup=warmup, final=final)


def polynomial(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    power: float = 1.0,
    warmup: Duration = 0.0,
    final: float = 0.0,
) -> optax.Schedule:
    """Rise linearly, then fall with a power of the steps that are left.

    >>> schedule = polynomial(0.1, 100, power=2.0)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
    [0.1, 0.025, 0.0]
    """
    _share("final", final)
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    fall = optax.polynomial_schedule(
        learning_rate, learning_rate * final, power, max(total_steps - rise, 1)
    )
    return _after_warmup(learning_rate, rise, fall)


def exponential(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.0,
    final: float = 0.01,
) -> optax.Schedule:
    """Rise linearly, then fall by the same factor at each step, to ``final`` (above 0).

    >>> schedule = exponential(0.1, 100, final=0.01)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
    [0.1, 0.01, 0.001]
    """
    _share("final", final)
    if final == 0.0:
        raise ValueError("final must be above 0: no factor leads to 0")
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    fall = optax.exponential_decay(
        learning_rate, max(total_steps - rise, 1), final, end_value=learning_rate * final
    )
    return _after_warmup(learning_rate, rise, fall)


def step(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    every: Duration | None = None,
    milestones: Sequence[Duration] | None = None,
    gamma: float = 0.1,
    warmup: Duration = 0.0,
) -> optax.Schedule:
    """Multiply the rate by ``gamma`` at milestones, or each time a while is over; times count from the run's start.

    >>> schedule = step(0.1, 100, milestones=[0.5, "80 steps"])
    >>> [round(float(schedule(step)), 4) for step in (49, 50, 79, 80)]
    [0.1, 0.01, 0.01, 0.001]
    >>> round(float(step(0.1, 100, 10, every="3 epochs", gamma=0.5)(60)), 4)
    0.025
    """
    if (every is None) == (milestones is None):
        raise ValueError(
            "give either every (such as '30 epochs') or milestones (such as [0.5, 0.75])"
        )
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    period = in_steps("every", every or 0.0, total_steps, steps_per_epoch)
    if every is not None and period < 1:
        raise ValueError(f"every is {every!r}, which is less than a step")
    falls = [
        in_steps(f"milestones[{number}]", time, total_steps, steps_per_epoch)
        for number, time in enumerate(milestones or ())
    ]

    def rate(count: Any) -> Any:
        drops = count // period if period else jnp.sum(count >= np.asarray(falls, np.int32))
        return _where_rising(count, rise, learning_rate, learning_rate * gamma**drops)

    return rate


def one_cycle(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.3,
    initial: float = 0.04,
    final: float = 4e-6,
) -> optax.Schedule:
    """Rise along half a cosine from ``initial`` (a share of the peak), then fall along another
    (Smith and Topin 2018, https://arxiv.org/abs/1708.07120).

    >>> schedule = one_cycle(0.1, 100)
    >>> [round(float(schedule(step)), 4) for step in (0, 15, 30, 65, 100)]
    [0.004, 0.052, 0.1, 0.05, 0.0]
    """
    _share("initial", initial)
    _share("final", final)
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    fall = max(total_steps - rise, 1)

    def rate(count: Any) -> Any:
        up = initial + (1 - initial) * _half_cosine(count / max(rise, 1))
        down = 1 - (1 - final) * _half_cosine((count - rise) / fall)
        return learning_rate * jnp.where(count < rise, up, down)

    return rate


def warmup_stable_decay(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.05,
    decay: Duration = 0.2,
    shape: Literal["linear", "sqrt", "cosine"] = "sqrt",
    final: float = 0.0,
) -> optax.Schedule:
    """Rise linearly, stay, and fall in the last ``decay`` of the run (Hägele et al. 2024, https://arxiv.org/abs/2405.18392).

    ``shape`` is how it falls, with x from 0 to 1: ``linear`` 1 - x, ``sqrt`` 1 - sqrt(x), ``cosine`` half a cosine.

    >>> schedule = warmup_stable_decay(0.1, 100, warmup=0.1, decay=0.2, shape="linear")
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 80, 90, 100)]
    [0.0, 0.05, 0.1, 0.1, 0.05, 0.0]
    """
    _share("final", final)
    fallen = {"linear": lambda x: x, "sqrt": jnp.sqrt, "cosine": _half_cosine}
    if shape not in fallen:
        raise ValueError(f"shape is {shape!r}; choose {', '.join(fallen)}")
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    length = max(in_steps("decay", decay, total_steps, steps_per_epoch), 1)

    def rate(count: Any) -> Any:
        done = jnp.clip((count - (total_steps - length)) / length, 0.0, 1.0)
        return _where_rising(
            count, rise, learning_rate, learning_rate * (1 - (1 - final) * fallen[shape](done))
        )

    return rate


def rsqrt(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    warmup: Duration = 0.05,
) -> optax.Schedule:
    """Rise linearly for w steps (at least 1), then fall as sqrt(w / step)
    (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    >>> schedule = rsqrt(0.1, 1000, warmup="100 steps")
    >>> [round(float(schedule(step)), 4) for step in (50, 100, 400)]
    [0.05, 0.1, 0.05]
    """
    rise = max(in_steps("warmup", warmup, total_steps, steps_per_epoch), 1)

    def rate(count: Any) -> Any:
        return _where_rising(
            count, rise, learning_rate, learning_rate * jnp.sqrt(rise / jnp.maximum(count, rise))
        )

    return rate


def cosine_restarts(
    learning_rate: float,
    total_steps: int,
    steps_per_epoch: int | None = None,
    *,
    cycles: int = 4,
    growth: float = 1.0,
    warmup: Duration = 0.0,
    final: float = 0.0,
) -> optax.Schedule:
    """Rise linearly, then fall along half a cosine ``cycles`` times, each ``growth`` times as long as the one before
    (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).

    >>> schedule = cosine_restarts(0.1, 100, cycles=2)
    >>> [round(float(schedule(step)), 4) for step in (0, 25, 50, 75, 100)]
    [0.1, 0.05, 0.1, 0.05, 0.0]
    """
    _share("final", final)
    if cycles < 1 or growth <= 0:
        raise ValueError(f"cycles is 1 or more and growth above 0; they are {cycles} and {growth}")
    rise = in_steps("warmup", warmup, total_steps, steps_per_epoch)
    lengths = growth ** np.arange(cycles)
    ends = np.round(np.cumsum(lengths) / lengths.sum() * max(total_steps - rise, cycles))
    begins = np.concatenate([[0], ends[:-1]])

    def fall(count: Any) -> Any:
        cycle = jnp.minimum(jnp.sum(count >= ends), cycles - 1)
        begin, end = jnp.asarray(begins)[cycle], jnp.asarray(ends)[cycle]
        done = jnp.clip((count - begin) / jnp.maximum(end - begin, 1), 0.0, 1.0)
        return learning_rate * (1 - (1 - final) * _half_cosine(done))

    return _after_warmup(learning_rate, rise, fall)


def _share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a share, 0 to 1; it got {value}")


def _half_cosine(x: Any) -> Any:
    """From 0 to 1 for x from 0 to 1."""
    return 0.5 * (1 - jnp.cos(math.pi * jnp.clip(x, 0.0, 1.0)))


def _where_rising(count: Any, rise: int, learning_rate: float, else_rate: Any) -> Any:
    return jnp.where(count < rise, learning_rate * count / max(rise, 1), else_rate)


def _after_warmup(learning_rate: float, rise: int, fall: optax.Schedule) -> optax.Schedule:
    """Rise, then the schedule that begins there."""
    if rise == 0:
        return fall
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, rise), fall], [rise])
