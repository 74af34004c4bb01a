"""The models of the benchmarks, written once: ``nnx`` is nnxtrain's module library or Flax's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def resnet18(nnx: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """ResNet-18 (He et al. 2015, https://arxiv.org/abs/1512.03385) with the stem for images of 32 x 32: 11.2 M parameters.

    Returns:
      the model, and a batch that it trains on.
    """

    class Residual(nnx.Module):
        def __init__(self, channels: int, features: int, strides: int, rngs: Any):
            def conv(size: int, fan_in: int, strides: int = 1) -> Any:
                return nnx.Conv(fan_in, features, (size, size), strides, use_bias=False, rngs=rngs)

            self.conv1, self.norm1 = conv(3, channels, strides), nnx.BatchNorm(features, rngs=rngs)
            self.conv2, self.norm2 = conv(3, features), nnx.BatchNorm(features, rngs=rngs)
            self.project = conv(1, channels, strides) if channels != features else None
            self.norm3 = nnx.BatchNorm(features, rngs=rngs) if channels != features else None

        def __call__(self, x: jax.Array) -> jax.Array:
            y = nnx.relu(self.norm1(self.conv1(x)))
            y = self.norm2(self.conv2(y))
            return nnx.relu(y + (x if self.project is None else self.norm3(self.project(x))))

    class ResNet(nnx.Module):
        def __init__(self, rngs: Any):
            self.conv = nnx.Conv(3, 64, (3, 3), use_bias=False, rngs=rngs)
            self.norm = nnx.BatchNorm(64, rngs=rngs)
            blocks, channels = [], 64
            for stage, features in enumerate((64, 128, 256, 512)):
                for strides in (2 if stage else 1, 1):
                    blocks.append(Residual(channels, features, strides, rngs))
                    channels = features
            self.blocks = nnx.List(blocks)
            self.head = nnx.Linear(512, 10, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            x = nnx.relu(self.norm(self.conv(x)))
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))

    batch = {"inputs": np.ones((2, 32, 32, 3), np.float32), "labels": np.zeros(2, np.int32)}
    return ResNet(nnx.Rngs(0)), batch


def transformer(nnx: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A decoder of 12 layers, width 768, 12 heads, as GPT-2 small (Radford et al. 2019): 124 M parameters.

    Returns:
      the model, and a batch that it trains on.
    """
    width, heads, vocabulary, context = 768, 12, 50257, 1024

    class Block(nnx.Module):
        def __init__(self, rngs: Any):
            self.norm1 = nnx.LayerNorm(width, rngs=rngs)
            self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
            self.out = nnx.Linear(width, width, rngs=rngs)
            self.norm2 = nnx.LayerNorm(width, rngs=rngs)
            self.up = nnx.Linear(width, 4 * width, rngs=rngs)
            self.down = nnx.Linear(4 * width, width, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            batch, length, _ = x.shape
            q, k, v = jnp.split(self.qkv(self.norm1(x)), 3, axis=-1)
            split = (batch, length, heads, width // heads)
            y = jax.nn.dot_product_attention(
                q.reshape(split), k.reshape(split), v.reshape(split), is_causal=True
            )
            x = x + self.out(y.reshape(x.shape))
            return x + self.down(nnx.gelu(self.up(self.norm2(x))))

    class Transformer(nnx.Module):
        def __init__(self, rngs: Any):
            self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
            self.positions = nnx.Embed(context, width, rngs=rngs)
            self.blocks = nnx.List([Block(rngs) for _ in range(12)])
            self.norm = nnx.LayerNorm(width, rngs=rngs)

        def __call__(self, tokens: jax.Array) -> jax.Array:
            x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[-1]))
            for block in self.blocks:
                x = block(x)
            return self.tokens.attend(self.norm(x))

    tokens = np.arange(16, dtype=np.int32)[None]
    return Transformer(nnx.Rngs(0)), {"inputs": tokens, "labels": tokens}


def blocks(nnx: Any, num_blocks: int, features: int) -> Any:
    """Blocks of Linear, BatchNorm and Dropout: about 16 Variables each with adam's, and little arithmetic."""

    class Block(nnx.Module):
        def __init__(self, rngs: Any):
            self.linear = nnx.Linear(features, features, rngs=rngs)
            self.norm = nnx.BatchNorm(features, rngs=rngs)
            self.dropout = nnx.Dropout(0.1, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return x + self.dropout(nnx.relu(self.norm(self.linear(x))))

    class Blocks(nnx.Module):
        def __init__(self, rngs: Any):
            self.blocks = nnx.List([Block(rngs) for _ in range(num_blocks)])

        def __call__(self, x: jax.Array) -> jax.Array:
            for block in self.blocks:
                x = block(x)
            return x

    return Blocks(nnx.Rngs(0))


def regression_step(nnx: Any) -> Callable[..., jax.Array]:
    """A training step ``(model, optimizer, x, y) -> loss`` of either library."""

    def train_step(model: Any, optimizer: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def loss_fn(model: Any) -> jax.Array:
            return jnp.mean((model(x) - y) ** 2)

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    return train_step


MODELS: dict[str, Callable[[Any], tuple[Any, dict[str, np.ndarray]]]] = {
    "resnet18": resnet18,
    "transformer": transformer,
}
