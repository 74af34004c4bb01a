"""Dynamic loss scaling, so that gradients in float16 neither vanish nor overflow."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nnxtrain import nnx


class ScaleState(nnx.Variable):
    """State of a loss scale."""


class LossScale(nnx.Module):
    """The factor of the loss: halved when a gradient overflows, doubled after ``interval`` steps without.

    Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2. It does not fall below ``least``.

    >>> scale = LossScale(initial=4.0, interval=1)
    >>> scale.update(jnp.array(False)); float(scale.value)
    2.0
    >>> scale.update(jnp.array(True)); float(scale.value)
    4.0
    """

    def __init__(self, initial: float = 2.0**15, interval: int = 2000, least: float = 1.0):
        self.interval = interval
        self.least = least
        self.scale = ScaleState(jnp.asarray(initial, jnp.float32))
        self.good = ScaleState(jnp.zeros((), jnp.int32))

    @property
    def value(self) -> jax.Array:
        """float32[]: what the loss is multiplied by."""
        return self.scale.value

    @property
    def exhausted(self) -> jax.Array:
        """bool[]: the scale cannot be made smaller."""
        return self.scale.value <= self.least

    def update(self, finite: jax.Array, counts: jax.Array | bool = True) -> None:
        """Take note of a step whose gradients were finite or not; nothing changes where it does not count."""
        good = jnp.where(finite, self.good.value + 1, 0)
        grown = good >= self.interval
        scale = self.scale.value
        raised = jnp.where(grown, jnp.minimum(scale * 2, 2.0**24), scale)
        scaled = jnp.where(finite, raised, jnp.maximum(scale / 2, self.least))
        self.scale.value = jnp.where(counts, scaled, scale)
        self.good.value = jnp.where(counts, jnp.where(grown, 0, good), self.good.value)
