"""Copies in memory that is used again, and originals that can still be donated."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.training.checkpoint import Checkpoints
from nnxtrain.training.host_copies import HostCopies, is_here

DTYPES = ["float32", "bfloat16", "int8", "bool", "uint32"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copy_is_the_same_in_other_memory(dtype: str) -> None:
    x = jnp.arange(12).reshape(3, 4).astype(dtype)
    copy = HostCopies().of({"x": x})["x"]
    assert (copy.dtype, copy.shape) == (x.dtype, x.shape)
    assert copy.unsafe_buffer_pointer() != x.unsafe_buffer_pointer()
    np.testing.assert_array_equal(np.asarray(copy), np.asarray(x))


def test_the_next_copy_takes_the_same_memory() -> None:
    copies = HostCopies()
    tree = {name: jnp.full((64, 64), float(i)) for i, name in enumerate("abc")}
    first = {path: x.unsafe_buffer_pointer() for path, x in copies.of(tree).items()}
    again = copies.of(jax.tree.map(lambda x: x + 1, tree))
    assert {path: x.unsafe_buffer_pointer() for path, x in again.items()} == first
    assert float(again["c"][0, 0]) == 3.0
    other = copies.of({"a": jnp.ones(5)})
    assert other["a"].shape == (5,)
    assert len(copies._memory) == 1, "what is no longer copied is given back"


def test_after_a_save_the_state_is_donated_in_place(tmp_path) -> None:
    @functools.partial(jax.jit, donate_argnums=0)
    def update(tree: dict) -> dict:
        return jax.tree.map(lambda x: x + 1, tree)

    tree = update({"a": jnp.zeros((128, 128)), "b": jnp.ones(7)})
    places = {x.unsafe_buffer_pointer() for x in tree.values()}
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(3):
            checkpoints.save(step, tree, {})
            tree = update(tree)
            assert {x.unsafe_buffer_pointer() for x in tree.values()} == places
        saved = checkpoints.restore(checkpoints.at(2), tree)
    assert float(saved["a"][0, 0]) == 3.0


def test_what_is_here() -> None:
    assert is_here(jnp.ones(2))
    assert not is_here(np.ones(2))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    assert not is_here(jax.device_put(jnp.ones(4), rows))


def test_what_was_on_no_device_in_particular_is_so_again(tmp_path) -> None:
    there = jax.device_put(jnp.ones(2), jax.devices()[0])
    tree = {"anywhere": jnp.ones(2), "there": there}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree, {})
        found = checkpoints.restore(checkpoints.at(1), tree)
        shapes = {path: jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in tree.items()}
        made = checkpoints.restore(checkpoints.at(1), shapes)
    assert [found["anywhere"].committed, found["there"].committed] == [False, True]
    assert not any(x.committed for x in made.values())
