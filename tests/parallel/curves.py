"""Train a small model on several meshes and print its losses: ``python curves.py MODEL STEPS MESH...``.

A program of its own, as float64 (``JAX_ENABLE_X64=1``) is a setting of a whole process. A mesh is written as its
overrides, with commas: ``mesh=fsdp,mesh.data=2``.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.data.placement import resident
from nnxtrain.data.sampler import batch_ids
from nnxtrain.training.session import Session
from nnxtrain.training.state import arrays_of, put_arrays

BATCH = 16
COMMON = [
    "optim=sgd", "optim.optimizer.momentum=0.9", f"trainer.batch_size={BATCH}",
    "trainer.epochs=null", "trainer.steps=1000",
]  # fmt: skip
IMAGES = ["optim.learning_rate=0.02", "data.name=shapes5/tiny", "data.image_size=[8,8]"]
MODELS = {
    "lenet": [*IMAGES, "model=lenet"],
    "resnet": [*IMAGES, "model=resnet_small", "model.width=8"],
    "transformer": ["config=transformer_char", "optim.learning_rate=0.005", "data.length=16",
                    "model.num_layers=2", "model.width=32", "model.num_heads=4",
                    "model.dropout_rate=0.1"],
}  # fmt: skip


class Last(nnx.Metric):
    """The last batch's mean loss, in the dtype of the computation."""

    def __init__(self) -> None:
        self.loss = nnx.metrics.MetricState(jnp.zeros((), jax.dtypes.canonicalize_dtype(float)))

    def update(self, *, loss: jax.Array, **_: object) -> None:
        self.loss.value = loss.mean().astype(self.loss.value.dtype)

    def compute(self) -> jax.Array:
        return self.loss.value


def losses(model: str, mesh: list[str], steps: int) -> list[float]:
    """The loss of each step, before its update."""
    session = Session.open(checked([*MODELS[model], *COMMON, *mesh]))
    layout, source = session.layout, session.placed.train
    state = session.create()
    # The same first numbers: made in one compiled program, they differ from those made one by one in the last bit.
    first = arrays_of(session.build())
    put_arrays(state, jax.tree.map(jax.device_put, first, layout.shardings(first)))
    state.metrics = nnx.MultiMetric(loss=Last())
    layout.replicate(state.metrics)
    if jax.config.jax_enable_x64:
        for _, variable in nnx.to_flat_state(nnx.variables(state)):
            value = variable.get_raw_value()
            if value.dtype == jnp.float32:
                variable.set_raw_value(value.astype(jnp.float64))
    found, rows = [], layout.local_rows(BATCH)
    for step in range(steps):
        ids = batch_ids(0, step, len(source), BATCH)
        batch = source.batch(ids if rows is None else ids[rows])
        session.train_steps[1](state, layout.put(batch, BATCH), resident(source))
        found.append(float(state.metrics.compute()["loss"]))
    return found


if __name__ == "__main__":
    model, steps, *meshes = sys.argv[1:]
    for mesh in meshes:
        print(json.dumps(losses(model, mesh.split(","), int(steps))), flush=True)
