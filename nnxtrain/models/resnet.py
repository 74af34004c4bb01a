"""Residual networks for images (He et al. 2015, https://arxiv.org/abs/1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax

from nnxtrain import nnx
from nnxtrain.models.images import SMALL, image_shape
from nnxtrain.nnx import initializers

# Blocks in each of the four stages, and whether they are bottlenecks (table 1 of the paper).
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}

kernel_init = initializers.variance_scaling(2.0, "fan_out", "normal")
conv = partial(nnx.Conv, use_bias=False, kernel_init=kernel_init)
norm = partial(nnx.BatchNorm, momentum=0.9)


class ResNet(nnx.Module):
    """Convolutional blocks with a way around each, in stages that halve the image and double the channels.

    Args:
      num_classes: size of the output.
      input_shape: (height, width, channels) of an image.
      depth: 18, 34 (basic blocks), 50, 101, 152 (bottlenecks), four stages each; or 6n + 2 (8, 14, 20, 32, 44, 56, 110)
        for the three stages of n basic blocks that the paper has for 32x32 (section 4.2).
      width: channels of the first stage; default 64, with three stages 16.
      stem: ``imagenet`` (a 7x7 convolution and 3x3 max-pooling, both with stride 2), ``cifar`` (a 3x3 convolution) or
        ``auto``: by the image's smaller side, ``cifar`` below 96 pixels.
      zero_init_residual: the last scale of each block starts at 0, so that each block starts as the way around it (Goyal
        et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1).
      dtype: what to compute in; parameters and statistics stay float32.
      rngs: random streams; ``params`` is used.

    Where a block changes the shape, the way around it is a 1x1 convolution (option B). Padding is symmetric and bottlenecks
    have their stride in the 3x3 convolution, as in torchvision's models, which have as many parameters.

    The call maps float[B, H, W, C] to logits float[B, num_classes].

    >>> import jax.numpy as jnp
    >>> model = ResNet(5, input_shape=(28, 28, 1), depth=8, width=4, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(model, jnp.ones((2, 28, 28, 1))).shape
    (2, 5)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        input_shape: Sequence[int],
        depth: int = 18,
        width: int | None = None,
        stem: Literal["auto", "cifar", "imagenet"] = "auto",
        zero_init_residual: bool = True,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        height, image_width, channels = image_shape(input_shape, "ResNet")
        stages, bottleneck = _stages(depth)
        if width is None:
            width = 64 if depth in DEPTHS else 16
        if stem == "auto":
            stem = "cifar" if min(height, image_width) < SMALL else "imagenet"
        self.downsample = stem == "imagenet"
        if self.downsample:
            self.conv = conv(channels, width, (7, 7), 2, padding=3, dtype=dtype, rngs=rngs)
        else:
            self.conv = conv(channels, width, (3, 3), padding=1, dtype=dtype, rngs=rngs)
        self.norm = norm(width, dtype=dtype, rngs=rngs)

        make_block = partial(
            Bottleneck if bottleneck else BasicBlock,
            zero_init=zero_init_residual,
            dtype=dtype,
            rngs=rngs,
        )
        self.blocks, features = [], width
        for stage, length in enumerate(stages):
            for index in range(length):
                strides = 2 if stage > 0 and index == 0 else 1
                block = make_block(features, width * 2**stage, strides)
                self.blocks.append(block)
                features = block.out_features
        self.head = nnx.Linear(features, num_classes, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.conv(x)))
        if self.downsample:
            x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions, and the way around them (figure 5 of the paper, left).

    Args:
      in_features, features: channels of input and output.
      strides: of the first convolution.
      zero_init, dtype, rngs: as in :class:`ResNet`.

    The call maps float[B, H, W, in_features] to float[B, H / strides, W / strides, features], the sizes rounded up.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        strides: int = 1,
        *,
        zero_init: bool = True,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        at = {"dtype": dtype, "rngs": rngs}
        self.out_features = features
        self.conv1 = conv(in_features, features, (3, 3), strides, padding=1, **at)
        self.norm1 = norm(features, **at)
        self.conv2 = conv(features, features, (3, 3), padding=1, **at)
        self.norm2 = norm(features, scale_init=_last_scale(zero_init), **at)
        self.shortcut = _shortcut(in_features, features, strides, **at)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Bottleneck(nnx.Module):
    """A 1x1, a 3x3 and a 1x1 convolution to four times as many channels, and the way around them (figure 5, right).

    Args:
      in_features: channels of the input.
      features: of the first two convolutions; the output has four times as many.
      strides: of the 3x3 convolution.
      zero_init, dtype, rngs: as in :class:`ResNet`.

    The call maps float[B, H, W, in_features] to float[B, H / strides, W / strides, 4 features], the sizes rounded up.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        strides: int = 1,
        *,
        zero_init: bool = True,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        at = {"dtype": dtype, "rngs": rngs}
        self.out_features = 4 * features
        self.conv1 = conv(in_features, features, (1, 1), **at)
        self.norm1 = norm(features, **at)
        self.conv2 = conv(features, features, (3, 3), strides, padding=1, **at)
        self.norm2 = norm(features, **at)
        self.conv3 = conv(features, self.out_features, (1, 1), **at)
        self.norm3 = norm(self.out_features, scale_init=_last_scale(zero_init), **at)
        self.shortcut = _shortcut(in_features, self.out_features, strides, **at)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def _stages(depth: int) -> tuple[Sequence[int], bool]:
    """The blocks of each stage, and whether they are bottlenecks."""
    if depth in DEPTHS:
        return DEPTHS[depth]
    if depth >= 8 and depth % 6 == 2:
        return (depth // 6,) * 3, False
    known = ", ".join(map(str, DEPTHS))
    raise ValueError(f"ResNet.depth is {known}, or 6n + 2 (8, 14, 20, ...); it got {depth}")


def _shortcut(in_features: int, features: int, strides: int, **at: Any) -> nnx.Sequential | None:
    if in_features == features and strides == 1:
        return None
    return nnx.Sequential(
        conv(in_features, features, (1, 1), strides, padding=0, **at), norm(features, **at)
    )


def _last_scale(zero_init: bool) -> Any:
    return initializers.zeros if zero_init else initializers.ones
