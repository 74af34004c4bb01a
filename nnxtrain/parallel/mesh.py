"""The devices as a grid with named axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh

from nnxtrain.config.schema import MeshConfig
from nnxtrain.errors import InputError

AXES = ("data", "fsdp", "model")
ROWS = ("data", "fsdp")  # the axes that a batch is cut along


def axis_sizes(config: MeshConfig, devices: int) -> dict[str, int]:
    """Return the size of each axis, with what is -1 or null filled in. Without such there may be devices left.

    Raises:
      InputError: two axes are -1, or there are too few devices, or those left for -1 cannot be shared out.

    >>> axis_sizes(MeshConfig(data=-1, fsdp=2), 8)
    {'data': 4, 'fsdp': 2, 'model': 1}
    >>> axis_sizes(MeshConfig(data=2, model=2), 3)
    Traceback (most recent call last):
    nnxtrain.errors.InputError: mesh: data=2 x model=2 needs 4 devices, and there are 3
    """
    sizes = {axis: getattr(config, axis) for axis in AXES}
    if sizes["data"] is None:
        sizes["data"] = 1 if -1 in sizes.values() else -1
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1:
        raise InputError(
            f"mesh.{free[1]}=-1: only one axis may take the devices that are left, and mesh.{free[0]} does"
        )
    needed = math.prod(size for size in sizes.values() if size != -1)
    text = " x ".join(f"{axis}={size}" for axis, size in sizes.items() if size not in (1, -1))
    there = "there is 1" if devices == 1 else f"there are {devices}"
    if needed > devices:
        raise InputError(f"mesh: {text} needs {needed} devices, and {there}")
    if free and devices % needed:
        raise InputError(f"mesh: {text} needs a multiple of {needed} devices, and {there}")
    return sizes | dict.fromkeys(free, devices // needed)


def make_mesh(
    config: MeshConfig, devices: Sequence[jax.Device] | int | None = None
) -> Mesh | AbstractMesh:
    """Return the mesh of a config: over all devices of all processes unless some are given, or the first of them.

    Of a number of devices it is abstract, to plan with.

    Raises:
      InputError: as :func:`axis_sizes`; with several processes also where devices are left.

    >>> dict(make_mesh(MeshConfig(fsdp=8, data=-1), 64).shape)
    {'data': 8, 'fsdp': 8, 'model': 1}
    """
    if isinstance(devices, int):
        return AbstractMesh(tuple(axis_sizes(config, devices).values()), AXES)
    devices = jax.devices() if devices is None else list(devices)
    simulated = devices[0].platform == "cpu" and jax.process_count() == 1
    if config.data is None and simulated:
        config = dataclasses.replace(config, data=1)
    sizes = axis_sizes(config, len(devices))
    count = math.prod(sizes.values())
    if jax.process_count() > 1 and count < len(devices):
        raise InputError(
            f"mesh: {count} of the {len(devices)} devices are used, and with several processes all must be; mesh.data=-1 "
            "takes those that are left"
        )
    shape = tuple(sizes.values())
    if devices[0].platform == "cpu":  # where no order is better than another
        return Mesh(np.array(devices[:count]).reshape(shape), AXES)
    return jax.make_mesh(shape, AXES, devices=devices[:count])
