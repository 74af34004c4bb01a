"""What XLA is told when it compiles a training or evaluation step."""

from __future__ import annotations

from typing import Any

import jax
import jaxlib

# jaxlib 0.10 hands convolutions and products on a CPU to YNNPACK, which takes up to twice as long for them as Eigen does,
# and three times for the gradient of a kernel (docs/benchmarks.md). Reductions, where it is fast, stay with it. Later
# versions of XLA have taken float32 convolutions from it again; an option that they do not know would be an error.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def compiler_options() -> dict[str, Any] | None:
    """For programs of JAX's default backend, as ``nnx.jit(compiler_options=...)`` takes them; None: nothing."""
    is_known = jaxlib.version.__version_info__[:2] == (0, 10)
    return CPU_OPTIONS if is_known and jax.default_backend() == "cpu" else None
