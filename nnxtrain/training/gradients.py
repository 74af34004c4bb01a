"""The gradient of a batch, whole or in parts one after the other."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nnxtrain import nnx
from nnxtrain.parallel.layout import Layout

Batch = dict[str, Any]


class Gradients(NamedTuple):
    """What one batch gives.

    Attributes:
      loss: float[], float32 at least, the mean of the elements' losses, weighted.
      grads: a State, its gradient.
    """

    loss: jax.Array
    grads: Any


def gradients(
    task: Any,
    model: nnx.Module,
    metrics: nnx.MultiMetric,
    batch: Batch,
    *,
    wrt: Any,
    parts: int = 1,
    scale: jax.Array | float = 1.0,
    layout: Layout | None = None,
) -> Gradients:
    """Return loss and gradient of ``sum(loss * weight) / sum(weight)`` over the whole batch, and update ``metrics``.

    Args:
      task: gives ``loss`` and perhaps ``weight`` for each element.
      batch: arrays of B rows.
      wrt: the Variables to differentiate, a filter.
      parts: the batch is worked on in that many parts, to save memory; the result is that of the whole (but for layers that
        look at the batch, such as BatchNorm). It divides B.
      scale: factor of the mean loss while differentiating, which is divided out again.
      layout: of the batch over devices, each of which works on a share of every part.
    """
    if parts == 1:
        total, weight, grads = _part(task, model, metrics, batch, wrt, scale, layout, parts)
        factor = 1.0 / scale
    else:
        rows = {k: v.reshape(parts, v.shape[0] // parts, *v.shape[1:]) for k, v in batch.items()}
        if layout is not None:
            rows = layout.spread(rows, leading=1)

        def add(carry: Any, rows: Batch) -> Any:
            model, metrics, *sums = carry
            part = _part(task, model, metrics, rows, wrt, scale, layout, parts)
            return (model, metrics, *jax.tree.map(jnp.add, tuple(sums), part))

        zeros = jax.tree.map(jnp.zeros_like, nnx.state(model, wrt))
        start = (model, metrics, jnp.zeros(()), jnp.zeros(()), zeros)
        # A convolution in a loop is many times slower on a CPU (github.com/jax-ml/jax/issues/12868).
        unroll = jax.default_backend() == "cpu"
        loop = nnx.scan(add, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry, unroll=unroll)
        _, _, total, weight, grads = loop(start, rows)
        factor = 1.0 / (_size(weight) * scale)
    # A factor of 1 would cost reading and writing every gradient.
    if not (isinstance(factor, float) and factor == 1.0):
        grads = jax.tree.map(lambda g: (g * factor).astype(g.dtype), grads)
    return Gradients(total / _size(weight), grads)


def _part(
    task: Any,
    model: nnx.Module,
    metrics: nnx.MultiMetric,
    batch: Batch,
    wrt: Any,
    scale: jax.Array | float,
    layout: Layout | None,
    parts: int,
) -> tuple[jax.Array, jax.Array, Any]:
    """The sum of the weighted losses, that of the weights, and the scaled gradient of the former.

    All are divided by the same number, so that they have the size of the mean, which float16 can hold: by the sum of the
    weights where the batch is whole, as then the gradient is done, else by the number of losses of all ``parts``.
    """

    def summed(model: nnx.Module) -> tuple[jax.Array, Any]:
        with contextlib.nullcontext() if layout is None else layout.gathered(model):
            outputs = task.outputs(model, batch)
        loss = outputs["loss"]
        kind = jnp.promote_types(loss.dtype, jnp.float32)
        weight = jnp.broadcast_to(outputs.get("weight", 1.0), loss.shape).astype(kind)
        if "mask" in batch:
            weight = weight * batch["mask"].reshape(-1, *[1] * (loss.ndim - 1))
        # Where nothing counts, not even a NaN does.
        total = jnp.where(weight > 0, loss * weight, 0.0).sum()
        weight = weight.sum()
        size = jax.lax.stop_gradient(_size(weight)) if parts == 1 else loss.size * parts
        total, weight = total / size, weight / size
        return total * scale, (total, weight, outputs)

    wanted = nnx.DiffState(0, wrt)
    (_, (total, weight, outputs)), grads = nnx.value_and_grad(summed, argnums=wanted, has_aux=True)(
        model
    )
    update_metrics(metrics, outputs, batch)
    return total, weight, grads


def _size(weight: jax.Array) -> jax.Array:
    """What the sums are divided by: a batch of weight 0 gives 0."""
    return jnp.maximum(weight, jnp.finfo(jnp.float32).tiny)


def gradient_norm(grads: Any, *, whole: bool) -> jax.Array:
    """The root of the sum of all squares, float[], as ``optax.tree.norm``'s.

    Args:
      whole: each array lies whole on one device. On a CPU its numbers are then read in one row: XLA describes a kernel's
        gradient as transposed, and sums that over windows of 32 x 32, six times as slowly.

    >>> gradient_norm({"a": jnp.array([[1.0, 2.0]]), "b": jnp.array(2.0)}, whole=True)
    Array(3., dtype=float32)
    """
    if whole:
        # The barrier keeps the compiler from taking the row for the array again.
        grads = jax.tree.map(lambda g: jax.lax.optimization_barrier(g.reshape(-1)), grads)
    return optax.tree.norm(grads)


def update_metrics(metrics: nnx.MultiMetric, outputs: dict[str, Any], batch: Batch) -> None:
    """Update metrics by a task's outputs, under the outputs' own mask, else the batch's."""
    mask = outputs.get("mask", batch.get("mask"))
    metrics.update(**{k: v for k, v in outputs.items() if k != "mask"}, mask=mask)


def all_finite(tree: Any) -> jax.Array:
    """Whether all numbers of a tree of arrays are finite, bool[]."""
    arrays = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
    return jnp.all(jnp.array([jnp.isfinite(x).all() for x in arrays] or [True]))
