"""The two compiled functions: one update, and one batch of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.training.state import TrainState

Batch = dict[str, Any]


def make_train_step(task: Any) -> Callable[[TrainState, Batch], None]:
    """Return ``train_step(state, batch)``: one optimizer update, and the batch's part in the train metrics."""

    @nnx.jit(donate=True)
    def train_step(state: TrainState, batch: Batch) -> None:
        def loss_fn(model: nnx.Module) -> tuple[jax.Array, dict[str, jax.Array]]:
            outputs = task.outputs(model, batch)
            return jnp.mean(outputs["loss"]), outputs

        trained = nnx.DiffState(0, state.optimizer.wrt)
        (_, outputs), grads = nnx.value_and_grad(loss_fn, argnums=trained, has_aux=True)(
            state.model
        )
        state.optimizer.update(state.model, grads)
        state.metrics.update(**outputs)

    return train_step


def make_eval_step(task: Any) -> Callable[[nnx.Module, nnx.MultiMetric, Batch], None]:
    """Return ``eval_step(model, metrics, batch)``: the batch's part in the metrics; the model cannot change in it."""

    @nnx.jit
    def eval_step(model: nnx.Module, metrics: nnx.MultiMetric, batch: Batch) -> None:
        with nnx.frozen(model):
            outputs = task.outputs(model, batch)
        metrics.update(**outputs, mask=batch["mask"])

    return eval_step
