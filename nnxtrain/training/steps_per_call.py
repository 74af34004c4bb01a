"""How many steps one compiled call makes, where the config leaves it open.

A call costs the host about as much time however little the device has to do in it. For small models that is most of a
step's time, so several steps go into one call; for others it would only compile a second program.

The choice rests on shapes alone, not on the clock: the same command makes the same run, to the bit. It is written into the
run's config, so that a resumed run makes the same calls wherever it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr

from nnxtrain.training.plan import Plan

SHORT = 5_000  # steps: below that, a second program costs more than it brings
TARGET = 2e-3  # s of work for a call
MOST = 50  # steps in a call: a signal or a loss that is not finite is noticed after it
# Rates that small programs reach, by platform, others like a GPU: operations and bytes a second.
RATES = {"cpu": (2e10, 5e9), "gpu": (5e12, 5e11)}


def choose(plan: Plan, *, seconds: float, loops: bool = True) -> int:
    """Return the number of steps for a plan that makes single steps.

    Args:
      seconds: of work in a step, about.
      loops: whether the step is as fast in a loop.

    The answer divides what comes most often (logging), so that few single steps are left before it.

    >>> plan = Plan(20_000, 500, log_every=50, eval_every=500, checkpoint_every=500)
    >>> choose(plan, seconds=1e-4), choose(plan, seconds=1e-2), choose(plan, seconds=1e-4, loops=False)
    (10, 1, 1)
    """
    if not loops or plan.total_steps < SHORT or seconds > TARGET / 2:
        return 1
    wanted = min(MOST, math.ceil(TARGET / seconds))
    often = min(plan.log_every, plan.eval_every, plan.checkpoint_every)
    return max(n for n in range(1, wanted + 1) if often % n == 0)


def seconds_of(forward: ClosedJaxpr, parameters: int, platform: str) -> float:
    """About how long a step takes: three times the forward pass's products, and the optimizer's passes over its numbers."""
    operations, rate = RATES.get(platform, RATES["gpu"])
    return 3 * products(forward, platform) / operations + 40 * parameters / rate


def products(program: ClosedJaxpr, platform: str) -> int:
    """Floating-point operations of the matrix products and convolutions in a program.

    >>> import jax.numpy as jnp
    >>> products(jax.make_jaxpr(lambda a: a @ a)(jnp.ones((2, 2))), "cpu")
    16
    """
    total = 0
    for equation, times in _equations(program.jaxpr, platform, 1):
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval, equation.outvars[0].aval
            total += 2 * times * out.size * math.prod(left.shape[i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel, out = equation.invars[1].aval, equation.outvars[0].aval
            features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * times * out.size * kernel.size // features
    return total


def has_convolution(program: ClosedJaxpr, platform: str) -> bool:
    """Whether a program convolves, on a platform: XLA's loops on a CPU are slow with that."""
    names = (e.primitive.name for e, _ in _equations(program.jaxpr, platform, 1))
    return "conv_general_dilated" in names


def _equations(jaxpr: Any, platform: str, times: int) -> Iterable[tuple[Any, int]]:
    """The equations that run on a platform, those of programs within too, and how often."""
    for equation in jaxpr.eqns:
        yield equation, times
        params = equation.params
        inner = jax.tree.leaves(
            list(params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        )
        if (platforms := params.get("branches_platforms")) is not None:
            chosen = next(i for i, names in enumerate(platforms) if not names or platform in names)
            inner = [params["branches"][chosen]]
        for value in inner:
            body = getattr(value, "jaxpr", value)
            if hasattr(body, "eqns"):
                yield from _equations(body, platform, times * params.get("length", 1))
