"""Floating-point operations of a call, counted by XLA on the program before optimisation, without compiling it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.inspection.recording import Work


def forward_flops(work: Work) -> int:
    """Operations of the call. A multiplication and an addition are two; what only moves data is none."""
    return _flops(lambda values, dynamic: jax.tree.leaves(work.run(values, dynamic)), *work.inputs)


def vjp_flops(work: Work) -> int:
    """Operations of the call and of its gradient with respect to all floating-point inputs and Variables."""

    def gradient(values: Any, dynamic: Any) -> Any:
        outputs, pullback = jax.vjp(lambda *inputs: _inexact(work.run(*inputs)), values, dynamic)
        return [g for g in jax.tree.leaves(pullback(outputs)) if g.dtype != jax.dtypes.float0]

    return _flops(gradient, *work.inputs)


def _inexact(outputs: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(outputs) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]


def _flops(fun: Callable[..., Any], *inputs: Any) -> int:
    """Count for a device without special kernels, so that the number is the same on every machine.

    A layer may lower differently for each platform (a convolution as a larger matrix product on a CPU); what is wanted
    here is the cost of the mathematics. "tpu" is the platform with the plainest lowering, and need not be there.
    """
    traced = jax.jit(fun).trace(*inputs)
    try:
        cost = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
    except Exception:  # an operation that is not there on that platform
        lowered = traced.lower()
        cost = lowered.cost_analysis() or lowered.compile().cost_analysis()
    return int((cost or {}).get("flops", 0))
