"""What is freed is kept: the system is not asked for pages that the process has had already."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from nnxtrain.cli.freed_memory import keep_freed_memory

told = keep_freed_memory({"JAX_PLATFORMS": "cpu"} if sys.argv[1] == "keep" else {"MALLOC_ARENA_MAX": "8"})
assert told == (sys.argv[1] == "keep")
faults = []

def work():
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(1 << 24, np.float32)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(max(faults[2:]))
"""


def page_faults(mode: str) -> int:
    """How often a page is new when a thread takes 64 MiB once more."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith(("MALLOC", "GLIBC"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=clean, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_large_arrays_take_no_new_pages() -> None:
    kept, returned = page_faults("keep"), page_faults("leave")
    assert kept < 100
    assert returned > 10 * (kept + 1)  # huge pages may make them few
