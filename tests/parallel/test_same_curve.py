"""One curve on every mesh: SGD with momentum, 50 steps, on 1, 4 and 8 simulated devices.

Half a minute for each model and dtype: one of each kind; all of them with ``NNXTRAIN_EVERY_MESH=1``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parent / "curves.py"
IMAGES = ["mesh.data=4", "mesh.data=8", "mesh=fsdp", "mesh.data=2,mesh.fsdp=4,mesh=fsdp"]
TOKENS = [*IMAGES, "mesh=tensor,mesh.data=2,mesh.model=2", "mesh=tensor,mesh.fsdp=2,mesh.model=4"]
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
ALL = [(model, dtype, meshes) for model, meshes in (("lenet", IMAGES), ("resnet", IMAGES), ("transformer", TOKENS))
       for dtype in TOLERANCE]  # fmt: skip
SOME = [("resnet", "float32", IMAGES[2:3]), ("transformer", "float32", TOKENS[-1:])]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "dtype", "meshes"), ALL if os.environ.get("NNXTRAIN_EVERY_MESH") else SOME)  # fmt: skip
def test_every_mesh_gives_the_curve_of_one_device(model, dtype, meshes):
    one, *others = curves(model, dtype, 50, ["mesh.data=1", *meshes])
    assert min(one[-10:]) < 0.95 * one[0]
    for mesh, curve in zip(meshes, others, strict=True):
        np.testing.assert_allclose(curve, one, rtol=TOLERANCE[dtype], err_msg=mesh)


def curves(model, dtype, steps, meshes):
    """The losses on each mesh, from a process of its own."""
    environment = {**os.environ, "JAX_ENABLE_X64": str(int(dtype == "float64"))}
    arguments = [sys.executable, str(PROGRAM), model, str(steps), *meshes]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
