"""Stochastic gradient descent with weight decay."""

from __future__ import annotations

import optax


def sgd(
    learning_rate: float | optax.Schedule,
    momentum: float | None = None,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """``optax.sgd`` with ``weight_decay`` times the parameters added to the gradients, before the momentum.

    Args:
      learning_rate: a number or a schedule.
      momentum: the share of the last update that is kept; None: no momentum.
      nesterov: whether to look ahead (Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html).
      weight_decay: the strength of the L2 penalty.

    >>> import jax.numpy as jnp
    >>> tx = sgd(0.1, weight_decay=0.5)
    >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(jnp.array([2.0])), jnp.array([2.0]))
    >>> updates.round(3)
    Array([-0.2], dtype=float32)
    """
    tx = optax.sgd(learning_rate, momentum, nesterov)
    return optax.chain(optax.add_decayed_weights(weight_decay), tx) if weight_decay else tx
