"""The two compiled functions: one or several updates, and one batch of an evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.augment import batch_key
from nnxtrain.data.placement import gathered
from nnxtrain.parallel.layout import Layout
from nnxtrain.training.compiling import compiler_options
from nnxtrain.training.gradients import gradient_norm, gradients, update_metrics
from nnxtrain.training.state import TrainState

Batch = dict[str, Any]
Arrays = Mapping[str, jax.Array]
Augment = Callable[[jax.Array, Batch], Batch]


def make_train_step(
    task: Any,
    *,
    augment: Augment | None = None,
    seed: int = 0,
    parts: int = 1,
    skip: bool = False,
    steps_per_call: int = 1,
    unroll: bool = False,
    layout: Layout | None = None,
) -> Callable[..., jax.Array]:
    """Return ``train_step(state, batch, arrays=None)``: an optimizer update, and the batch's part in the train metrics.

    An update whose loss or gradient is not finite is not made: the state stays what it was. Then either the batch is left
    out, or the state is halted: no later call changes it, so whoever reads the answer late still finds the last good state.

    Args:
      task: gives the loss.
      augment: ``(key, batch) -> batch``, on training batches; the key is that of (seed, step).
      seed: of the keys.
      parts: work on a batch in that many parts, one after the other.
      skip: leave out batches that are not finite, instead of halting.
      steps_per_call: several updates in one call; every array of the batch then has this as its first axis.
      unroll: write them out one after the other, instead of a loop.
      layout: where the state's arrays lie, if not all on one device.

    ``arrays`` are the device's, whose rows a batch of ``ids`` names. The answer is bool[]: the state is halted.
    """
    # Where the update is one branch of two, the state stays in its place; to choose between old and new numbers afterwards,
    # XLA copies the optimizer's. But other devices may let the host wait until the condition is known.
    has_branches = jax.default_backend() == "cpu" and (layout is None or layout.is_single)

    def one(state: TrainState, batch: Batch, arrays: Arrays | None) -> None:
        before = [(path, v, v.raw_value) for path, v in nnx.to_flat_state(nnx.variables(state))]
        batch = training_batch(batch, arrays, state.steps.value, augment=augment, seed=seed)
        scaling = state.loss_scale
        wrt = state.optimizer.wrt
        scale = 1.0 if scaling is None else scaling.value
        loss, grads = gradients(
            task,
            state.model,
            state.metrics,
            batch,
            wrt=wrt,
            parts=parts,
            scale=scale,
            layout=layout,
        )
        norm = gradient_norm(grads, whole=has_branches)
        state.grad_norm.update(grad_norm=norm)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        halted = state.halted.value
        good = finite & ~halted

        def keep() -> None:
            """Of what has changed so far, keep the old where the step is not good."""
            for path, variable, old in before:
                if variable.raw_value is not old:
                    value = jax.lax.select(good, variable.raw_value, old)
                    variable.set_raw_value(
                        value if layout is None else layout.constrain(path, value)
                    )

        if has_branches:
            keep()
            nnx.cond(good, update, lambda state, grads: None, state, grads)
        else:
            update(state, grads)
            keep()
        fatal = ~finite
        if scaling is not None:
            fatal = fatal & scaling.exhausted
            scaling.update(finite, ~halted)
        if not skip:
            halted = halted | fatal
            state.halted.value = halted
        state.steps.value += ~halted
        state.skipped.value += ~finite & ~halted

    @nnx.jit(donate=True, compiler_options=compiler_options())
    def train_step(state: TrainState, batch: Batch, arrays: Arrays | None = None) -> jax.Array:
        if steps_per_call == 1:
            one(state, batch, arrays)
            return state.halted.value

        def body(state: TrainState, batch: Batch) -> TrainState:
            one(state, batch, arrays)
            return state

        nnx.scan(body, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry, unroll=unroll)(state, batch)
        return state.halted.value

    return train_step


def update(state: TrainState, grads: Any) -> None:
    """Let the optimizer change the model, and the average follow it."""
    state.optimizer.update(state.model, grads)
    if state.ema is not None:
        state.ema.update(state.model)


def training_batch(
    batch: Batch, arrays: Arrays | None, step: Any, *, augment: Augment | None, seed: int
) -> Batch:
    """The batch of a step as the task sees it: its rows gathered from the device's arrays, and augmented."""
    batch = gathered(batch, arrays)
    if augment is None:
        return batch
    return augment(batch_key(seed, step), batch)


def make_eval_step(task: Any, layout: Layout | None = None) -> Callable[..., None]:
    """Return ``eval_step(model, metrics, batch, arrays=None)``: the batch's part in the metrics; the model cannot change."""
    gathering = contextlib.nullcontext if layout is None else layout.gathered

    @nnx.jit(compiler_options=compiler_options())
    def eval_step(
        model: nnx.Module, metrics: nnx.MultiMetric, batch: Batch, arrays: Arrays | None = None
    ) -> None:
        batch = gathered(batch, arrays)
        with gathering(model), nnx.frozen(model):
            outputs = task.outputs(model, batch)
        update_metrics(metrics, outputs, batch)

    return eval_step
