"""The grid of devices: sizes from a config, and what does not come out."""

import math

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnxtrain.config.schema import MeshConfig
from nnxtrain.errors import InputError
from nnxtrain.parallel.mesh import AXES, axis_sizes, make_mesh

SIZES = st.sampled_from([-1, 1, 2, 3, 4])


def test_simulated_devices_are_used_only_when_asked_for():
    assert make_mesh(MeshConfig()).size == 1
    assert make_mesh(MeshConfig(model=2)).shape == {"data": 1, "fsdp": 1, "model": 2}
    assert axis_sizes(MeshConfig(model=2), 8) == {"data": 4, "fsdp": 1, "model": 2}
    assert axis_sizes(MeshConfig(fsdp=-1), 8) == {"data": 1, "fsdp": 8, "model": 1}


@given(SIZES, SIZES, SIZES, st.integers(1, 16))
def test_sizes_use_what_is_there_or_say_why_not(data, fsdp, model, devices):
    config = MeshConfig(data=data, fsdp=fsdp, model=model)
    given_ = dict(zip(AXES, (data, fsdp, model)))
    try:
        sizes = axis_sizes(config, devices)
    except InputError:
        needed = math.prod(size for size in given_.values() if size > 0)
        free = list(given_.values()).count(-1)
        assert free > 1 or needed > devices or (free and devices % needed)
        return
    assert all(given_[axis] in (-1, size) for axis, size in sizes.items())
    assert math.prod(sizes.values()) <= devices
    if -1 in given_.values():
        assert math.prod(sizes.values()) == devices


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MeshConfig(data=-1, fsdp=-1), "mesh.fsdp=-1: only one axis may take the devices that are left, and mesh.data does"),
        (MeshConfig(data=2, model=8), "mesh: data=2 x model=8 needs 16 devices, and there are 6"),
        (MeshConfig(model=4), "mesh: model=4 needs a multiple of 4 devices, and there are 6"),
    ],
)  # fmt: skip
def test_what_does_not_come_out_is_said(config, message):
    with pytest.raises(InputError) as caught:
        axis_sizes(config, 6)
    assert str(caught.value) == message


def test_a_mesh_takes_the_first_devices():
    mesh = make_mesh(MeshConfig(data=1, fsdp=2))
    assert mesh.axis_names == AXES
    assert mesh.devices.ravel().tolist() == jax.devices()[:2]
    everything = {"data": jax.device_count(), "fsdp": 1, "model": 1}
    assert make_mesh(MeshConfig(data=-1)).shape == everything
    assert make_mesh(MeshConfig(data=-1), jax.devices()[1:2]).devices.item() == jax.devices()[1]
