"""Whether a model can be saved: its numbers are finite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain import nnx
from nnxtrain.training.gradients import all_finite
from nnxtrain.training.host_copies import is_here


def parameters_finite(model: nnx.Module) -> bool:
    """Whether all numbers of a model are finite."""
    values = [v.raw_value for _, v in nnx.to_flat_state(nnx.variables(model))]
    values = [x for x in values if jnp.issubdtype(x.dtype, jnp.inexact)]
    if all(map(is_here, values)):  # nothing is compiled for what NumPy does as fast
        return all(np.isfinite(np.asarray(x.addressable_data(0))).all() for x in values)
    return bool(_all_finite(values))


_all_finite = jax.jit(all_finite)
