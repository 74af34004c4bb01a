"""The layers of a run's model as a table, from shapes alone."""

from __future__ import annotations

import jax

from nnxtrain import nnx
from nnxtrain.training.session import Session


def layers_table(
    session: Session, *, batch_size: int, depth: int | None = None, flops: bool = False
) -> str:
    """Return ``nnx.tabulate`` of the model in evaluation mode for a batch of the data; nothing is computed.

    Args:
      batch_size: of the batch whose shapes are shown.
      depth: leave out modules more than this many steps below the model.
      flops: add a column with the floating-point operations of each call on that batch.

    Raises what the model raises of such a batch.
    """
    spec = session.spec
    batch = {"input": jax.ShapeDtypeStruct((batch_size, *spec.input_shape), spec.input_dtype)}
    inputs = jax.eval_shape(session.task.inputs, batch)
    model = session.shapes.model
    model.eval()
    return nnx.tabulate(model, inputs, depth=depth, compute_flops=flops)
