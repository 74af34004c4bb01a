"""What is freed is kept: a program that is called again takes no new pages from the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnxtrain.cli.freed_memory import keep_freed_memory

PROGRAM = """
import resource, sys
from nnxtrain.cli.freed_memory import keep_freed_memory
from nnxtrain.training.dispatch import dispatch_as_told

keeps = sys.argv[1] == "keep"
environment = {"JAX_PLATFORMS": "cpu"} if keeps else {"MALLOC_ARENA_MAX": "8"}
assert keep_freed_memory(environment) == keeps
dispatch_as_told(environment)

import jax, jax.numpy as jnp

step = jax.jit(lambda x: jnp.sin(x @ x.T) @ x)
x = jnp.ones((4096, 8))
faults = []
for _ in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults[3:])[4])
"""


def page_faults(mode: str) -> int:
    """How many pages are new, in the median, when a program with 64 MiB of temporary memory or more is called again."""
    clean = {
        name: v
        for name, v in os.environ.items()
        if not name.startswith(("MALLOC", "GLIBC", "LD_PRELOAD"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=clean, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_program_called_again_takes_no_new_pages() -> None:
    kept, returned = page_faults("keep"), page_faults("leave")
    assert kept < 100
    assert returned > kept + 20  # with huge pages they are few


@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_ARENA_MAX": "8"},
        {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
        {"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"},
        {"JAX_PLATFORMS": "cuda"},
    ],
)
def test_what_the_environment_says_stays(environment: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("the C library was asked"))
    assert not keep_freed_memory({"JAX_PLATFORMS": "cpu", **environment})


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_run_of_the_command_computes_in_the_thread_that_calls(tmp_path: Path) -> None:
    program = """if True:
        import atexit, sys
        from nnxtrain.cli.main import run

        def told():
            import jax
            print("asynchronous:", jax.config._value_holders["jax_cpu_enable_async_dispatch"].value)

        atexit.register(told)
        run()
    """
    words = ["fit", "config=linear_regression", "trainer.epochs=null", "trainer.steps=2"]
    clean = {name: v for name, v in os.environ.items() if not name.startswith("MALLOC")}
    done = subprocess.run(
        [sys.executable, "-c", program, *words, f"runs_dir={tmp_path}"],
        env=clean | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "asynchronous: False" in done.stdout
