"""Train a small model on several layouts and print its losses: ``python curves.py MODEL STEPS LAYOUT...``.

A program of its own, as float64 (``JAX_ENABLE_X64=1``) and the number of devices are settings of a whole process. A layout
is its overrides, with commas: ``mesh=fsdp,mesh.data=2``; with ``A>B``, the first half of the steps is made on A, saved,
restored on B and gone on with there. Several processes are given ``COORDINATOR`` and ``PROCESS`` of ``PROCESSES``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain import nnx
from nnxtrain.api import checked
from nnxtrain.data.placement import resident
from nnxtrain.data.sampler import batch_ids
from nnxtrain.parallel.processes import Processes, join
from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.session import Session
from nnxtrain.training.state import TrainState, arrays_of, put_arrays

BATCH = 16
COMMON = [
    "optim=sgd", "optim.optimizer.momentum=0.9", f"trainer.batch_size={BATCH}",
    "trainer.epochs=null", "trainer.steps=1000",
]  # fmt: skip
IMAGES = ["optim.learning_rate=0.02", "data.name=shapes5/tiny", "data.image_size=[8,8]"]
MODELS = {
    "lenet": [*IMAGES, "model=lenet"],
    # With seed 0 an input of a ReLU is so near to 0, after 31 steps, that float32's rounding decides its gradient.
    "resnet": [*IMAGES, "model=resnet_small", "model.width=8", "seed=1"],
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

    def reset(self) -> None:
        self.loss.value = jnp.zeros_like(self.loss.value)

    def compute(self) -> jax.Array:
        return self.loss.value


def opened(model: str, layout: str) -> Session:
    """A session whose state counts in float64, where that is on."""
    session = Session.open(checked([*MODELS[model], *COMMON, *layout.split(",")]))
    session.task.metrics = lambda: nnx.MultiMetric(loss=Last())

    def build() -> TrainState:
        state = session.build()
        for _, variable in nnx.to_flat_state(nnx.variables(state)):
            value = variable.get_raw_value()
            if value.dtype == jnp.float32:
                variable.set_raw_value(value.astype(jax.dtypes.canonicalize_dtype(float)))
        return state

    return dataclasses.replace(session, build=build) if jax.config.jax_enable_x64 else session


def fresh(session: Session) -> TrainState:
    """The first state, with the numbers that one device makes: one program for all of it rounds the last bit otherwise."""
    state = session.create()
    numbers = jax.tree.map(np.asarray, arrays_of(session.build()))
    shardings = session.layout.shardings(numbers)
    put_arrays(state, jax.tree.map(jax.device_put, numbers, shardings))
    return state


def losses(session: Session, state: TrainState, steps: range) -> list[float]:
    """The loss of each step, before its update."""
    layout, source = session.layout, session.placed.train
    found, rows = [], layout.local_rows(BATCH)
    for step in steps:
        ids = batch_ids(0, step, len(source), BATCH)
        batch = source.batch(ids if rows is None else ids[rows])
        session.train_steps[1](state, layout.put(batch, BATCH), resident(source))
        found.append(float(state.metrics.compute()["loss"]))
    return found


def curve(model: str, layout: str, steps: int) -> list[float]:
    first, _, second = layout.partition(">")
    session = opened(model, first)
    state = fresh(session)
    if not second:
        return losses(session, state, range(steps))
    found = losses(session, state, range(steps // 2))
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder), mode="min") as kept:
        kept.save(steps // 2, arrays_of(state), {}, None)
        kept.wait()
        session = opened(model, second)
        state = session.abstract()
        checkpoint = kept.latest()
        assert checkpoint is not None
        put_arrays(state, kept.restore(checkpoint, arrays_of(state)))
    return found + losses(session, state, range(steps // 2, steps))


if __name__ == "__main__":
    if "PROCESS" in os.environ:
        count, index = int(os.environ["PROCESSES"]), int(os.environ["PROCESS"])
        join(Processes(os.environ["COORDINATOR"], count, index))
    name, steps, *layouts = sys.argv[1:]
    for layout in layouts:
        print(json.dumps(curve(name, layout, int(steps))), flush=True)
