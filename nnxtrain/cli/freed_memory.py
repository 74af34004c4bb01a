"""Memory that one training step frees on a CPU is kept for the next one, instead of being returned to the system."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Mapping, MutableMapping

# Of glibc's malloc.h: what is asked for, and the value.
NO_MAPPING = (-4, 0)  # M_MMAP_MAX; what is mapped is unmapped as soon as it is freed
NO_TRIMMING = (-1, -1)  # M_TRIM_THRESHOLD
ACCELERATORS = "jax_plugins", "libtpu"  # packages with which JAX's default backend is no CPU


def keep_freed_memory(environment: MutableMapping[str, str]) -> bool:
    """Tell glibc to keep what is freed, and return whether it was told.

    XLA takes the temporary memory of a program anew at each call. Large blocks come straight from the system, which has to
    clear every page again: 225,000 of them in a step of a transformer with six layers of width 256, a fifth of the step's
    time. Only the main thread's heap can hold such blocks, so ``NNXTRAIN_DISPATCH`` says that programs are to run there as
    well (``nnxtrain/training/dispatch.py``). The process holds on to the most that it ever needed.

    Nothing is changed where the environment says something about malloc (``MALLOC_...``, ``GLIBC_TUNABLES``, a library in
    ``LD_PRELOAD``), for another C library, or where JAX finds an accelerator's package, unless ``JAX_PLATFORMS`` is ``cpu``.

    >>> keep_freed_memory({"MALLOC_ARENA_MAX": "8"})
    False
    """
    if _is_tuned(environment) or not _on_cpu(environment):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc; TypeError: Windows
        return False
    if not all(mallopt(*option) for option in (NO_MAPPING, NO_TRIMMING)):
        return False
    environment.setdefault("NNXTRAIN_DISPATCH", "inline")
    return True


def _is_tuned(environment: Mapping[str, str]) -> bool:
    told = {"GLIBC_TUNABLES": "glibc.malloc", "LD_PRELOAD": "malloc"}
    by_name = any(name.startswith("MALLOC_") for name in environment)
    return by_name or any(part in environment.get(name, "") for name, part in told.items())


def _on_cpu(environment: Mapping[str, str]) -> bool:
    chosen = environment.get("JAX_PLATFORMS")
    if chosen:
        return chosen == "cpu"
    announced = importlib.metadata.entry_points(group="jax_plugins")  # as JAX looks for them
    return not announced and not any(map(importlib.util.find_spec, ACCELERATORS))
