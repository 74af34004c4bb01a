"""The first state of an optax transformation, without a compiled program for each shape in it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr, Literal

from nnxtrain.nnx.random.blocks import is_available, is_eager
from nnxtrain.nnx.random.constants import constant


def initial_state(tx: optax.GradientTransformation, params: Any) -> Any:
    """Return ``tx.init(params)``.

    What most transformations begin with are constants and the parameters themselves, which a trace of ``init`` tells: then
    the constants are made on the host. Anything else, ``init`` itself makes.

    >>> import jax.numpy as jnp
    >>> initial_state(optax.trace(0.9), {"w": jnp.ones(2)})
    TraceState(trace={'w': Array([0., 0.], dtype=float32)})
    """
    leaves = jax.tree.leaves(params)
    if not is_eager() or any(not isinstance(x, jax.Array) or x.committed for x in leaves):
        return tx.init(params)
    try:
        traced, like = jax.make_jaxpr(tx.init, return_shape=True)(params)
    except Exception:  # an init that looks at values, or whose state is not made of arrays
        return tx.init(params)
    known = _known(traced, leaves)
    if known is None:
        return tx.init(params)
    values = [
        x if isinstance(x, jax.Array) else constant(x.flat[0] if x.size else 0, x.shape, x.dtype)
        for x in known
    ]
    return jax.tree.unflatten(jax.tree.structure(like), values)


def _known(traced: ClosedJaxpr, arguments: list[jax.Array]) -> list[Any] | None:
    """The outputs, constants as NumPy arrays without memory of their own; None if anything else is among them."""
    jaxpr: Any = traced.jaxpr
    known: dict[Any, Any] = dict(zip(jaxpr.invars, arguments))
    known |= {v: np.asarray(c) for v, c in zip(jaxpr.constvars, traced.consts) if np.ndim(c) == 0}

    def value(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return known.get(atom)
        dtype: Any = atom.aval.dtype  # type: ignore[attr-defined]
        return np.asarray(atom.val, dtype) if is_available(dtype) else None

    for equation in jaxpr.eqns:
        name, operand = equation.primitive.name, value(next(iter(equation.invars), None))
        if isinstance(operand, np.ndarray) and name in ("broadcast_in_dim", "convert_element_type"):
            (result,) = equation.outvars
            shape, dtype = result.aval.shape, result.aval.dtype
            if operand.ndim == 0 and is_available(dtype):
                known[result] = np.broadcast_to(operand.astype(dtype), shape)
    weak = any(getattr(atom.aval, "weak_type", False) for atom in jaxpr.outvars)
    outputs = [value(atom) for atom in jaxpr.outvars]
    return None if weak or any(x is None for x in outputs) else outputs
