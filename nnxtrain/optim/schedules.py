"""Learning-rate schedules over the whole length of a run."""

from __future__ import annotations

import optax


def cosine(
    learning_rate: float, total_steps: int, *, warmup: float = 0.0, final: float = 0.0
) -> optax.Schedule:
    """Rise linearly, then fall along half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).

    Args:
      learning_rate: the peak.
      total_steps: the run's length.
      warmup: the share of the steps in which the rate rises from 0.
      final: the last rate, as a share of the peak.

    >>> schedule = cosine(0.1, 100, warmup=0.1)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    rise = _warmup_steps(warmup, final, total_steps)
    fall = optax.cosine_decay_schedule(learning_rate, max(total_steps - rise, 1), alpha=final)
    return _after_warmup(learning_rate, rise, fall)


def linear(
    learning_rate: float, total_steps: int, *, warmup: float = 0.0, final: float = 0.0
) -> optax.Schedule:
    """Rise linearly, then fall linearly; arguments as in :func:`cosine`.

    >>> schedule = linear(0.1, 100)
    >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """
    rise = _warmup_steps(warmup, final, total_steps)
    fall = optax.linear_schedule(learning_rate, learning_rate * final, max(total_steps - rise, 1))
    return _after_warmup(learning_rate, rise, fall)


def _warmup_steps(warmup: float, final: float, total_steps: int) -> int:
    for name, share in (("warmup", warmup), ("final", final)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is a share, 0 to 1; it got {share}")
    return round(warmup * total_steps)


def _after_warmup(learning_rate: float, rise: int, fall: optax.Schedule) -> optax.Schedule:
    if rise == 0:
        return fall
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, rise), fall], [rise])
