"""In which thread JAX runs programs on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import jax


def dispatch_as_told(environment: Mapping[str, str]) -> None:
    """Run programs of one CPU device in the thread that calls them, where ``NNXTRAIN_DISPATCH`` is ``inline``.

    A call then returns when all is computed. JAX looks at this when it first asks for devices; later it has no effect.

    >>> dispatch_as_told({})
    """
    if environment.get("NNXTRAIN_DISPATCH") == "inline":
        with contextlib.suppress(AttributeError):  # an option that a later JAX may not have
            jax.config.update("jax_cpu_enable_async_dispatch", False)
