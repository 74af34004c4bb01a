"""One curve on every layout: SGD with momentum, 50 steps, on 1, 4 and 8 simulated devices and in 2 processes of 2.

Two of them; all, half an hour on two cores, with ``NNXTRAIN_EVERY_MESH=1``. ``pytest -s`` shows the
differences.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parent / "curves.py"
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

FSDP4, BOTH = "mesh=fsdp,mesh.fsdp=4", "mesh=fsdp,mesh.data=2,mesh.fsdp=4"
TENSOR4, TENSOR8 = "mesh=tensor,mesh.data=2,mesh.model=2", "mesh=tensor,mesh.fsdp=2,mesh.model=4"
ANY = ["mesh.data=4", "mesh.data=8", FSDP4, "mesh=fsdp", BOTH,
       "mesh=fsdp>mesh.data=4", "mesh.data=1>" + FSDP4]  # fmt: skip
TOKENS = [*ANY, TENSOR4, TENSOR8, TENSOR8 + ">" + FSDP4, "mesh.data=1>" + TENSOR4]
PAIR = ["mesh.data=4", "mesh=fsdp", "mesh.data=2,mesh=fsdp,mesh.fsdp=2"]
EVERY = [
    (model, dtype, layouts, pair)
    for model, layouts, pair in (
        ("lenet", ANY, PAIR), ("resnet", ANY, PAIR), ("transformer", TOKENS, [*PAIR, TENSOR4])
    )
    for dtype in TOLERANCE
]  # fmt: skip
SOME = [
    ("resnet", "float32", ["mesh=fsdp"], []),
    ("transformer", "float64", [TENSOR8 + ">" + FSDP4], []),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "dtype", "layouts", "pair"), EVERY if os.environ.get("NNXTRAIN_EVERY_MESH") else SOME
)
def test_every_layout_gives_the_curve_of_one_device(model, dtype, layouts, pair):
    one, *others = curves(model, dtype, ["mesh.data=1", *layouts])
    assert min(one[-10:]) < 0.95 * one[0]
    others += curves(model, dtype, pair, processes=2) if pair else []
    names = [*layouts, *[f"2 processes: {layout}" for layout in pair]]
    for name, curve in zip(names, others, strict=True):
        worst = np.abs(np.array(curve) / one - 1).max()
        print(f"{model} {dtype} {name}: {worst:.1e}")
        assert worst < TOLERANCE[dtype], name


def curves(model, dtype, layouts, processes=1):
    """The losses on each layout, from a program of its own with 8 devices, or 2 in each process."""
    common = os.environ | {
        "JAX_ENABLE_X64": str(int(dtype == "float64")),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={8 if processes == 1 else 2}",
    }
    places = [{}]
    if processes > 1:
        address = f"127.0.0.1:{_free_port()}"
        places = [
            {"COORDINATOR": address, "PROCESSES": str(processes), "PROCESS": str(index)}
            for index in range(processes)
        ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, str(PROGRAM), model, "50", *layouts]
    started = [subprocess.Popen(command, env=common | place, **pipes) for place in places]
    (answer, error), *_ = [process.communicate() for process in started]
    assert all(process.returncode == 0 for process in started), error[-2000:]
    return [json.loads(line) for line in answer.splitlines()]


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
