"""A fresh state over several devices is made in its parts, and traced no oftener than it must be."""

import dataclasses
import math
import re

import jax
import pytest

from nnxtrain.api import checked
from nnxtrain.training.session import Session
from nnxtrain.training.state import arrays_of

TINY = ["config=transformer_char", "data.length=16", "model.num_layers=1", "model.width=32",
        "model.num_heads=4", "trainer.batch_size=16", "trainer.ema=0.9"]  # fmt: skip


@pytest.fixture(scope="module")
def fsdp():
    return Session.open(checked([*TINY, "mesh=fsdp"]))


def sizes(session):
    """Bytes of the whole state; elements of its largest array, and of the largest part of one on a device."""
    arrays = jax.tree.leaves(arrays_of(session.abstract()))
    parts = [math.prod(x.sharding.shard_shape(x.shape)) for x in arrays]
    whole = sum(x.size * x.dtype.itemsize for x in arrays)
    return whole, max(x.size for x in arrays), max(parts)


def program(session):
    return session.creation(arrays_of(session.abstract())).lower().compile()


def largest(compiled):
    """Elements of the largest array anywhere in a device's program."""
    shapes = re.findall(r"\b(?:pred|[a-z]+\d+)\[([\d,]+)\]", compiled.as_text())
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)


def test_no_parameter_is_ever_whole_on_a_device(fsdp):
    whole, array, part = sizes(fsdp)
    compiled, devices = program(fsdp), jax.device_count()
    memory = compiled.memory_analysis()
    assert memory.argument_size_in_bytes == 0
    assert memory.output_size_in_bytes < 1.1 * whole / devices
    assert memory.output_size_in_bytes + memory.temp_size_in_bytes < whole / 2
    assert largest(compiled) == part == array // devices


def test_without_cutting_all_is_whole_on_each_device():
    session = Session.open(checked([*TINY, "mesh.data=-1"]))
    whole, array, part = sizes(session)
    compiled = program(session)
    assert compiled.memory_analysis().output_size_in_bytes >= whole
    assert largest(compiled) == part == array


def test_what_is_made_lies_where_the_shapes_say(fsdp):
    state = fsdp.create()
    made, said = arrays_of(state), arrays_of(fsdp.abstract())
    assert jax.tree.map(lambda x: (x.shape, x.dtype), made) == jax.tree.map(
        lambda x: (x.shape, x.dtype), said
    )
    assert jax.tree.all(
        jax.tree.map(lambda x, y: x.sharding.is_equivalent_to(y.sharding, x.ndim), made, said)
    )
    keys = [x for x in jax.tree.leaves(said) if x.dtype == "uint32" and x.shape == (2,)]
    assert keys
    assert all(key.sharding.mesh == fsdp.layout.mesh for key in keys)


def test_one_trace_serves_layout_check_and_restoring(fsdp):
    calls = []
    session = dataclasses.replace(fsdp, build=lambda: calls.append(1) or fsdp.build())
    _ = session.layout
    first, second = session.abstract(), session.abstract()
    assert first is not second
    assert len(calls) == 1
    session.create()
    assert len(calls) == 2
