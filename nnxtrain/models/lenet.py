"""LeNet-5 (LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf) for images of any size and channels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax

from nnxtrain import nnx
from nnxtrain.models.images import image_shape


class LeNet(nnx.Module):
    """Convolution, ReLU and 2x2 max-pooling for each entry of ``channels``; then dense layers.

    Args:
      num_classes: size of the output.
      input_shape: (height, width, channels) of an image.
      channels: output channels of the convolutions ("SAME" padding).
      kernel_size: of the convolutions.
      hidden: sizes of the dense layers before the last.
      dtype: what to compute in; parameters stay float32.
      rngs: random streams; ``params`` is used.

    The call maps float[B, H, W, C] to logits float[B, num_classes].

    >>> import jax.numpy as jnp
    >>> model = LeNet(5, input_shape=(56, 56, 3), rngs=nnx.Rngs(0))
    >>> model.linears[0].in_features, model(jnp.ones((2, 56, 56, 3))).shape
    (3136, (2, 5))
    """

    def __init__(
        self,
        num_classes: int,
        *,
        input_shape: Sequence[int],
        channels: Sequence[int] = (6, 16),
        kernel_size: Sequence[int] = (5, 5),
        hidden: Sequence[int] = (120, 84),
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        height, width, depth = image_shape(input_shape, "LeNet")
        shrink = 2 ** len(channels)
        if height < shrink or width < shrink:
            raise ValueError(
                f"{len(channels)} poolings need images of at least {shrink}x{shrink}; these are {height}x{width}"
            )
        sizes = [depth, *channels]
        self.convs = [
            nnx.Conv(i, o, kernel_size=tuple(kernel_size), dtype=dtype, rngs=rngs)
            for i, o in itertools.pairwise(sizes)
        ]
        sizes = [math.prod((height // shrink, width // shrink, sizes[-1])), *hidden, num_classes]
        self.linears = [
            nnx.Linear(i, o, dtype=dtype, rngs=rngs) for i, o in itertools.pairwise(sizes)
        ]

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in self.convs:
            x = nnx.max_pool(nnx.relu(conv(x)), window_shape=(2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        for linear in self.linears[:-1]:
            x = nnx.relu(linear(x))
        return self.linears[-1](x)
