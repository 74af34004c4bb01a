"""Everything that training changes, as one object, and its form in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx


class TrainState(nnx.Module):
    """Model, optimizer (of the Variables that ``wrt`` takes) and the metrics under way. Its step is the optimizer's."""

    def __init__(
        self,
        model: nnx.Module,
        tx: optax.GradientTransformation,
        metrics: nnx.MultiMetric,
        *,
        wrt: Any = nnx.Param,
    ):
        self.model = model
        self.optimizer = nnx.Optimizer(model, tx, wrt=wrt)
        self.metrics = metrics

    @property
    def step(self) -> int:
        """Updates made so far."""
        return int(self.optimizer.step.value)


def create(build: Callable[[], TrainState]) -> TrainState:
    """Run ``build`` as one compiled program: one compilation instead of one for each parameter's shape."""
    return nnx.jit(build)()


def abstract(build: Callable[[], TrainState]) -> TrainState:
    """Run ``build`` without computing; :func:`put_arrays` then fills the result."""
    return nnx.eval_shape(build)


def arrays_of(state: nnx.Module) -> dict[str, Any]:
    """The state's arrays as nested dicts with string keys; random keys as their raw uint32 data."""
    return _strings(nnx.to_pure_dict(nnx.state(state), lambda leaf: _raw(leaf.raw_value)))


def put_arrays(state: nnx.Module, arrays: dict[str, Any]) -> None:
    """Put arrays that have the form of :func:`arrays_of` into a state (which may be abstract)."""
    flat = {
        tuple(map(str, path)): (path, leaf)
        for path, leaf in nnx.to_flat_state(nnx.variables(state))
    }
    for names, value in nnx.to_flat_state(arrays):
        _, leaf = flat[names]
        is_key = jnp.issubdtype(leaf.raw_value.dtype, jax.dtypes.prng_key)
        leaf.set_raw_value(jax.random.wrap_key_data(value) if is_key else value)


def _raw(value: Any) -> Any:
    if not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if isinstance(value, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, value)
    return jax.random.key_data(value)


def _strings(tree: Any) -> Any:
    return {str(k): _strings(v) for k, v in tree.items()} if isinstance(tree, dict) else tree
