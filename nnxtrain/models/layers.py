"""A network that a configuration writes down layer by layer, and what such networks need between layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.errors import InputError

Make = functools.partial[Any]  # what builds a node of a configuration
BATCH = 2  # to work out shapes with


class Layers(nnx.Module):
    """Layers one after the other, each built for the shape that the one before gives.

    Args:
      layers: nodes of a configuration: layers (``nnxtrain.nnx.Linear``) and functions of one array (``nnxtrain.nnx.relu``).
        They stay unbuilt, so that ``in_features`` and ``num_features`` (the last axis), ``input_shape`` (all axes but the
        batch), wherever a layer has such a parameter and the configuration is silent, follow from the layer before.
        The run's ``num_classes``, ``num_targets`` and ``vocab_size`` may be arguments by their names.
      input_shape: shape of one example.
      vocab_size: number of different tokens, where examples are tokens.
      dtype: what the layers compute in that have such an argument; parameters stay float32.
      rngs: random streams, handed to each layer.

    The call maps float[B, *input_shape] (int32 for tokens) to what the last layer gives.

    Raises:
      InputError: a layer that cannot be built or does not take its input, by its place and class.

    >>> from nnxtrain.config import resolve
    >>> model = resolve({
    ...     "_target_": "nnxtrain.models.Layers",
    ...     "layers": [
    ...         {"_target_": "nnxtrain.nnx.Conv", "out_features": 6, "kernel_size": [5, 5]},
    ...         "nnxtrain.nnx.relu",
    ...         "nnxtrain.models.flatten",
    ...         {"_target_": "nnxtrain.nnx.Linear", "out_features": "num_classes"},
    ...     ],
    ... }, input_shape=(28, 28, 1), num_classes=5, rngs=nnx.Rngs(0))
    >>> model.layers[3].in_features, model.layers[3].out_features
    (4704, 5)
    """

    def __init__(
        self,
        layers: Sequence[Make],
        *,
        input_shape: Sequence[int],
        vocab_size: int | None = None,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        kind = jnp.float32 if vocab_size is None else jnp.int32
        x = jax.ShapeDtypeStruct((BATCH, *input_shape), kind)
        self.layers, _ = _built(layers, x, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class Residual(nnx.Module):
    """``x + layers(x)``, to stand among :class:`Layers`.

    Args:
      layers: as in :class:`Layers`.
      input_shape: shape of the input, without the batch.
      dtype: as in :class:`Layers`.
      rngs: random streams, handed to each layer.

    Raises:
      InputError: a layer as in :class:`Layers`, or the last one gives another shape than the first one takes.
    """

    def __init__(
        self,
        layers: Sequence[Make],
        *,
        input_shape: Sequence[int],
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        x = jax.ShapeDtypeStruct((BATCH, *input_shape), jnp.float32)
        self.layers, y = _built(layers, x, dtype=dtype, rngs=rngs)
        if y.shape != x.shape:
            raise InputError(
                f"Residual adds its input {_shown(x)} to what its layers make of it, {_shown(y)}: "
                "they must have one shape"
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y


def _built(makes: Sequence[Make], x: Any, **common: Any) -> tuple[list[Any], Any]:
    """Build layers one after the other for an abstract input; return them and the last one's output."""
    layers = []
    for index, make in enumerate(makes):
        sizes = {
            "input_shape": x.shape[1:],
            "in_features": x.shape[-1],
            "num_features": x.shape[-1],
        }
        try:
            layer = make(**sizes, **common)
        except Exception as error:
            raise InputError(f"layers[{index}]: {_first_line(error)}") from error
        place = f"layers[{index}] ({_name(layer)})"
        try:
            y = nnx.eval_shape(layer, x)
        except Exception as error:
            raise InputError(
                f"{place} does not take {x.dtype}{_shown(x)}: {_first_line(error)}"
            ) from error
        if not isinstance(y, jax.ShapeDtypeStruct) or y.shape[:1] != (BATCH,) or y.ndim < 2:
            raise InputError(
                f"{place} makes {jax.tree.map(_shown, y)} of {_shown(x)}; "
                "a layer gives one array [batch, ...]"
            )
        layers.append(layer)
        x = y
    return layers, x


def _shown(x: Any) -> str:
    return f"[{', '.join(map(str, ('batch', *x.shape[1:])))}]"


def _name(layer: Any) -> str:
    function = layer.func if isinstance(layer, functools.partial) else layer
    return getattr(function, "__name__", type(function).__name__)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def flatten(x: jax.Array) -> jax.Array:
    """Bring all axes but the first into one: [B, ...] to [B, N].

    >>> flatten(jnp.ones((2, 3, 4))).shape
    (2, 12)
    """
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def reshape(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Bring [B, ...] to [B, *shape]; one of ``shape`` may be -1: as many as are left.

    >>> reshape(jnp.ones((2, 12)), [4, -1]).shape
    (2, 4, 3)
    """
    return x.reshape(x.shape[0], *shape)


def global_avg_pool(x: jax.Array) -> jax.Array:
    """The mean over all axes between the first and the last: [B, ..., C] to [B, C].

    >>> global_avg_pool(jnp.ones((2, 7, 7, 3))).shape
    (2, 3)
    """
    return x.mean(tuple(range(1, x.ndim - 1)))


def last_step(x: jax.Array) -> jax.Array:
    """The last step of sequences: [B, L, F] to [B, F].

    >>> last_step(jnp.ones((2, 7, 3))).shape
    (2, 3)
    """
    return x[:, -1]
