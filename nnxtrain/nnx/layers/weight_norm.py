"""WeightNorm: the length of a weight is a parameter by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from nnxtrain.nnx.graph.filters import PathContains, to_predicate
from nnxtrain.nnx.layers.arguments import as_tuples
from nnxtrain.nnx.layers.dtypes import promote_dtype
from nnxtrain.nnx.layers.moments import Axes, checked_axes
from nnxtrain.nnx.layers.reparametrize import find, l2_normalize, params_of, place, substituted
from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random import initializers
from nnxtrain.nnx.random.rngs import Rngs
from nnxtrain.nnx.variable.variable import Param

KERNELS = PathContains("kernel")


class WeightNorm(Module):
    """Call a layer with ``scale * kernel / |kernel|`` (Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868).

    Args:
      layer_instance: the layer. When it is wrapped, its kernels are brought to length 1.
      feature_axes: the axes along which lengths and scales differ; None: one length for the whole kernel.
      use_scale: learn ``scales``; without them, all lengths are 1.
      scale_init: initialiser of the scales.
      epsilon: added to the squared length.
      dtype: of the normalised kernel (default: what kernel and scale promote to).
      param_dtype: what the scales are stored in.
      variable_filter: which of the layer's Params are normalised.
      promote_dtype: casts ``(kernel, scale)``.
      rngs: random streams; ``params`` is used.

    The layer keeps its own kernels, to which the gradients belong; ``scales`` has a Param under the path of each.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.WeightNorm(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    >>> layer(jnp.ones((5, 8))).shape, layer.scales["kernel"].shape
    ((5, 4), (4,))
    >>> jnp.linalg.norm(layer.layer_instance.kernel.value, axis=0).round(4).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        layer_instance: Module,
        *,
        feature_axes: Axes | None = -1,
        use_scale: bool = True,
        scale_init: Callable[..., Any] = initializers.ones,
        epsilon: float = 1e-12,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        variable_filter: Any = KERNELS,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: Rngs,
    ):
        self.layer_instance = layer_instance
        self.feature_axes = () if feature_axes is None else as_tuples(feature_axes)
        self.use_scale = use_scale
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.variable_filter = to_predicate(variable_filter)
        self.promote_dtype = promote_dtype
        scales: dict[str, Any] = {}
        for path, param in self._chosen():
            axes = checked_axes(self.feature_axes, param.value, "WeightNorm")
            if use_scale:
                shape = tuple(param.shape[axis] for axis in axes)
                place(scales, path, Param(scale_init(rngs.params(), shape, param_dtype)))
            param.set_raw_value(self._normalised(param).astype(param.dtype))
        self.scales = scales if use_scale else None

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer with its kernels normalised."""
        weights = []
        for path, param in self._chosen():
            kernel, scale = self._normalised(param), None
            if self.scales is not None:
                axes = checked_axes(self.feature_axes, kernel, "WeightNorm")
                shape = [n if i in axes else 1 for i, n in enumerate(kernel.shape)]
                scale = find(self.scales, path, "WeightNorm.scales").value.reshape(shape)
            kernel, scale = self.promote_dtype((kernel, scale), dtype=self.dtype)
            weights.append((param, kernel if scale is None else kernel * scale))
        layer: Any = self.layer_instance
        with substituted(weights):
            return layer(x, *args, **kwargs)

    def _chosen(self) -> list[tuple[tuple[str, ...], Param]]:
        return params_of(self.layer_instance, self.variable_filter)

    def _normalised(self, param: Param) -> Any:
        kernel = param.raw_value
        features = checked_axes(self.feature_axes, kernel, "WeightNorm")
        reduced = tuple(i for i in range(kernel.ndim) if i not in features)
        return l2_normalize(kernel, reduced, self.epsilon)
