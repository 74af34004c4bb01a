"""What this machine is, and whether it has what the comparison needs."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from typing import Any

# Asked in processes of their own: whoever looks at a GPU holds memory on it.
_JAX = """
import json, jax
from jax.extend.backend import get_backend
devices = jax.devices()
print(json.dumps({"backend": jax.default_backend(), "runtime": get_backend().platform_version.strip(),
                  "devices": [device.device_kind for device in devices]}))
"""
_TORCH = """
import json, torch
on = torch.cuda.is_available()
print(json.dumps({"cuda": torch.version.cuda, "available": on, "cudnn": torch.backends.cudnn.version() if on else None}))
"""
_NEEDED = ("optax", "orbax.checkpoint", "msgpack", "hydra", "filelock", "rich", "PIL")


def missing(smoke: bool, with_torch: bool) -> str | None:
    """What has to be installed first, in one line; None: nothing."""
    jax = ask(_JAX)
    if jax is None:
        return f'jax cannot be imported by {sys.executable}; try: pip install "jax[cuda12]"'
    if not smoke and jax["backend"] != "gpu":
        return (
            f"jax sees no CUDA device here, only {', '.join(jax['devices'])}; where there is one, try: "
            'pip install "jax[cuda12]" (--smoke tries the scripts out on a CPU)'
        )
    if absent := [name for name in _NEEDED if not _found(name)]:
        return f"nnxtrain needs {', '.join(absent)}, which {sys.executable} has not; try: pip install -e ."
    if smoke or not with_torch:
        return None
    torch = ask(_TORCH)
    if torch is None:
        return (
            "PyTorch, the peer, is not installed; try: pip install torch (--no-torch leaves it out)"
        )
    if not torch["available"]:
        built = f"CUDA {torch['cuda']}" if torch["cuda"] else "CPUs alone"
        return (
            f"PyTorch, the peer, is built for {built} and sees no CUDA device; see https://pytorch.org/get-started "
            "(--no-torch leaves it out)"
        )
    return None


def describe() -> dict[str, Any]:
    """Devices, driver and versions, for people to compare figures by."""
    packages = (
        "nnxtrain",
        "jax",
        "jaxlib",
        "jax-cuda12-plugin",
        "jax-cuda13-plugin",
        "torch",
        "triton",
    )
    return {
        "jax": ask(_JAX),
        "torch": ask(_TORCH) if _found("torch") else None,
        "gpus": _lines(
            "nvidia-smi",
            "--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm",
            "--format=csv,noheader",
        ),
        "versions": {name: version for name in packages if (version := _version(name))},
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "flags": {name: os.environ[name] for name in ("XLA_FLAGS",) if name in os.environ},
    }


@functools.cache
def ask(program: str) -> dict[str, Any] | None:
    """The JSON object that a Python program prints last; None where it fails."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package it is in
        return False


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(*command: str) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    return subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines()
