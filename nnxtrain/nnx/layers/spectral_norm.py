"""SpectralNorm: weights whose largest singular value is 1."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnxtrain.nnx.layers.dtypes import canonicalize_dtype
from nnxtrain.nnx.layers.reparametrize import find, l2_normalize, params_of, place, substituted
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import BatchStat, Param

default_u_init = initializers.normal()


class SpectralNorm(Module):
    """Call a layer with ``W / sigma(W)``, sigma being the largest singular value (https://arxiv.org/abs/1802.05957).

    Miyato et al. 2018. Sigma is found by power iteration, which goes on from call to call.

    Args:
      layer_instance: the layer. All its Params of two axes or more are normalised; more axes than two are seen as a
        matrix [all but the last, last].
      n_steps: steps of the power iteration in a call.
      epsilon: added to squared lengths.
      dtype: of the normalised weight (default: what the weight and the vectors promote to).
      param_dtype: what the vectors are stored in.
      error_on_non_matrix: raise a ValueError on a Param of more than two axes.
      update_stats: keep the vectors of each call; ``model.eval()`` switches it off, ``model.train()`` on.
      rngs: random streams; ``params`` is used.

    The layer keeps its own weights, to which the gradients belong. ``batch_stats`` has, under the path of each,
    ``u`` [1, last] and ``sigma`` [].

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.SpectralNorm(nnx.Linear(4, 5, rngs=nnx.Rngs(0)), n_steps=50, rngs=nnx.Rngs(1))
    >>> kernel = layer(jnp.eye(4)) - layer.layer_instance.bias
    >>> round(float(jnp.linalg.norm(kernel, 2)), 4)
    1.0
    """

    def __init__(
        self,
        layer_instance: Module,
        *,
        n_steps: int = 1,
        epsilon: float = 1e-12,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        error_on_non_matrix: bool = False,
        update_stats: bool = True,
        rngs: Rngs,
    ):
        self.layer_instance = layer_instance
        self.n_steps = n_steps
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.error_on_non_matrix = error_on_non_matrix
        self.use_running_average = not update_stats  # the name that train() and eval() set
        stats: dict[str, Any] = {}
        for path, param in self._matrices():
            u = default_u_init(rngs.params(), (1, param.shape[-1]), param_dtype)
            place(stats, (*path, "u"), BatchStat(u))
            place(stats, (*path, "sigma"), BatchStat(jnp.ones((), param_dtype)))
        self.batch_stats = stats

    def __call__(self, x: Any, update_stats: bool | None = None) -> Any:
        """Call the layer with its weights normalised; ``update_stats`` as in the constructor, for this call."""
        if update_stats is None:
            update_stats = not self.use_running_average
        weights = []
        for path, param in self._matrices():
            stats = find(self.batch_stats, path, "SpectralNorm.batch_stats")
            weight, u, sigma = self._normalised(param.raw_value, stats["u"].value)
            weights.append((param, weight))
            if update_stats:
                stats["u"].value = u.astype(stats["u"].dtype)
                stats["sigma"].value = lax.stop_gradient(sigma).astype(stats["sigma"].dtype)
        layer: Any = self.layer_instance
        with substituted(weights):
            return layer(x)

    def _matrices(self) -> list[tuple[tuple[str, ...], Param]]:
        if self.n_steps < 1:
            return []
        found = params_of(self.layer_instance, lambda path, param: param.ndim > 1)
        for path, param in found:
            if self.error_on_non_matrix and param.ndim > 2:
                raise ValueError(
                    f"SpectralNorm takes matrices (error_on_non_matrix=True); {'.'.join(path)} is {list(param.shape)}"
                )
        return found

    def _normalised(
        self, weight: jax.Array, u: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        matrix = weight.reshape(-1, weight.shape[-1])
        v = u
        for _ in range(self.n_steps):
            v = l2_normalize(u @ matrix.T, epsilon=self.epsilon)
            u = l2_normalize(v @ matrix, epsilon=self.epsilon)
        u, v = lax.stop_gradient((u, v))  # the gradient of sigma is v uᵀ
        sigma = (v @ matrix @ u.T)[0, 0]
        dtype = canonicalize_dtype(weight, u, v, sigma, dtype=self.dtype)
        return (weight / jnp.where(sigma != 0, sigma, 1)).astype(dtype), u, sigma
