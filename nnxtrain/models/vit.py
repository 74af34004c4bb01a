"""Vision transformers (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from nnxtrain import nnx
from nnxtrain.models.images import SMALL, image_shape
from nnxtrain.nnx import initializers

kernel_init = initializers.xavier_uniform()  # as the authors' own code
norm = partial(nnx.LayerNorm, epsilon=1e-6)


class ViT(nnx.Module):
    """Cut an image into patches, and read them as a sequence with a transformer's encoder.

    Args:
      num_classes: size of the output.
      input_shape: (height, width, channels) of an image.
      patch_size: pixels of a patch's side, which divides the image's sides; default 16, for images with a side below 96
        pixels 4.
      width: numbers in each token.
      num_layers: blocks of the encoder.
      num_heads: attention heads; divides the width.
      mlp_ratio: hidden units of a block's dense layers, as a multiple of the width.
      dropout_rate: of the tokens at the start and of what each half of a block adds, in [0, 1].
      drop_path_rate: how often a block's halves are left out for an example (stochastic depth, Huang et al. 2016,
        https://arxiv.org/abs/1603.09382): 0 in the first block, growing evenly to this in the last.
      pool: what the classifier reads: ``cls``, a token of its own, or ``mean``, the mean of the patches' tokens.
      dtype: what to compute in; parameters stay float32.
      rngs: random streams; ``params`` and ``dropout`` are used.

    With patches of 16 pixels and 12 blocks, ViT-Ti has width 192 and 3 heads, ViT-S 384 and 6, ViT-B 768 and 12.
    Positions are learned, normalisation comes first in each half of a block, and the classifier starts at 0.

    The call maps float[B, H, W, C] to logits float[B, num_classes].

    >>> model = ViT(5, input_shape=(28, 28, 1), width=32, num_layers=1, num_heads=2, rngs=nnx.Rngs(0))
    >>> model.positions.shape, nnx.eval_shape(model, jnp.ones((2, 28, 28, 1))).shape
    ((1, 50, 32), (2, 5))
    """

    def __init__(
        self,
        num_classes: int,
        *,
        input_shape: Sequence[int],
        patch_size: int | None = None,
        width: int = 192,
        num_layers: int = 12,
        num_heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        pool: Literal["cls", "mean"] = "cls",
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        height, image_width, channels = image_shape(input_shape, "ViT")
        if patch_size is None:
            patch_size = 4 if min(height, image_width) < SMALL else 16
        if patch_size < 1 or height % patch_size or image_width % patch_size:
            fitting = [n for n in range(1, 33) if height % n == image_width % n == 0]
            raise ValueError(
                f"ViT.patch_size={patch_size} does not divide images of {height}x{image_width}; "
                f"these do: {', '.join(map(str, fitting))}"
            )
        patch = (patch_size, patch_size)
        length = (height // patch_size) * (image_width // patch_size) + (pool == "cls")
        self.patches = nnx.Conv(
            channels, width, patch, patch, padding="VALID", dtype=dtype, rngs=rngs
        )
        self.cls = nnx.Param(jnp.zeros((1, 1, width))) if pool == "cls" else None
        self.positions = nnx.Param(
            initializers.normal(0.02)(rngs.params(), (1, length, width), jnp.float32)
        )
        self.dropout = nnx.Dropout(dropout_rate, rngs=rngs)
        self.blocks = [
            Block(
                width,
                num_heads=num_heads,
                mlp_width=int(width * mlp_ratio),
                dropout_rate=dropout_rate,
                drop_path_rate=drop_path_rate * index / max(num_layers - 1, 1),
                dtype=dtype,
                rngs=rngs,
            )
            for index in range(num_layers)
        ]
        self.norm = norm(width, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(
            width, num_classes, kernel_init=initializers.zeros, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.patches(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        if self.cls is not None:
            cls = jnp.broadcast_to(self.cls.value.astype(x.dtype), (x.shape[0], 1, x.shape[-1]))
            x = jnp.concatenate([cls, x], axis=1)
        x = self.dropout(x + self.positions.value.astype(x.dtype))
        for block in self.blocks:
            x = block(x)
        # LayerNorm looks at each token by itself: only the classifier's need it where it reads one.
        x = self.norm(x[:, 0]) if self.cls is not None else self.norm(x).mean(1)
        return self.head(x)


class Block(nnx.Module):
    """One block of the encoder: attention, then two dense layers with GELU, each added to what it reads.

    Args:
      width: numbers in each token.
      num_heads: attention heads.
      mlp_width: hidden units of the dense layers.
      dropout_rate, drop_path_rate, dtype, rngs: as in :class:`ViT`; the rate is this block's own.

    The call maps float[B, L, width] to the same shape.
    """

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        mlp_width: int,
        dropout_rate: float,
        drop_path_rate: float,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        at = {"dtype": dtype, "rngs": rngs}
        self.norm1 = norm(width, **at)
        self.attention = nnx.MultiHeadAttention(num_heads, width, kernel_init=kernel_init, **at)
        self.norm2 = norm(width, **at)
        self.dense1 = nnx.Linear(width, mlp_width, kernel_init=kernel_init, **at)
        self.dense2 = nnx.Linear(mlp_width, width, kernel_init=kernel_init, **at)
        self.dropout = nnx.Dropout(dropout_rate, rngs=rngs)
        # One decision for all tokens of an example.
        self.drop_path = nnx.Dropout(drop_path_rate, broadcast_dims=(1, 2), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.attention(self.norm1(x))
        x = x + self.drop_path(self.dropout(y))
        y = self.dropout(nnx.gelu(self.dense1(self.norm2(x)), approximate=False))
        return x + self.drop_path(self.dropout(self.dense2(y)))
