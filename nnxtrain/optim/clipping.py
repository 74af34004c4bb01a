"""Clipping of gradients before an optimizer sees them."""

from __future__ import annotations

import optax

from nnxtrain.config.schema import OptimConfig


def clipping(config: OptimConfig) -> optax.GradientTransformation | None:
    """Return the transformation that the ``optim`` section asks for, or None.

    ``clip_norm`` scales all gradients together so that their global norm is at most that. ``clip_value`` cuts each
    element to plus or minus that. ``clip_adaptive`` scales each unit's gradient so that its norm is at most that share
    of the norm of the unit's parameters (Brock et al. 2021, https://arxiv.org/abs/2102.06171).
    """
    if config.clip_norm is not None:
        return optax.clip_by_global_norm(config.clip_norm)
    if config.clip_value is not None:
        return optax.clip(config.clip_value)
    if config.clip_adaptive is not None:
        return optax.adaptive_grad_clip(config.clip_adaptive)
    return None
