"""What XLA is told when it compiles a training or evaluation step."""

from __future__ import annotations

from typing import Any

import jax
import jaxlib

# What jaxlib 0.10 would do by itself on a CPU, with two differences. Convolutions are not handed to YNNPACK, which takes up
# to twice as long for them as Eigen does, and three times for the gradient of a kernel (docs/benchmarks.md): products and
# reductions stay with it. Later versions of XLA have taken float32 convolutions from it again; an option that they do not
# know would be an error. And copies are left out where two values are never needed at the same time, in loops too: XLA
# otherwise copies a recurrent network's state at each time step, and kernels that the update writes over.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
    "xla_cpu_copy_insertion_use_region_analysis": True,
}


def compiler_options() -> dict[str, Any] | None:
    """For programs of JAX's default backend, as ``nnx.jit(compiler_options=...)`` takes them; None: nothing."""
    is_known = jaxlib.version.__version_info__[:2] == (0, 10)
    return CPU_OPTIONS if is_known and jax.default_backend() == "cpu" else None
