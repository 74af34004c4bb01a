"""What is freed is kept: a program that is called again takes no new pages from the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from nnxtrain.cli.freed_memory import keep_freed_memory

keeps = sys.argv[1] == "keep"
assert keep_freed_memory({"JAX_PLATFORMS": "cpu"} if keeps else {"MALLOC_ARENA_MAX": "8"}) == keeps

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
    clean = {name: v for name, v in os.environ.items() if not name.startswith(("MALLOC", "GLIBC"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=clean, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_program_called_again_takes_no_new_pages() -> None:
    kept, returned = page_faults("keep"), page_faults("leave")
    assert kept < 100
    assert returned > 10 * (kept + 1)  # huge pages may make them few
