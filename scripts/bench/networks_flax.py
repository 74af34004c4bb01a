"""The networks in Flax NNX, with the names that nnxtrain's models have; steps as in Flax's documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

conv = partial(nnx.Conv, use_bias=False, padding=1)
norm = partial(nnx.BatchNorm, momentum=0.9)


class Shortcut(nnx.Module):
    def __init__(self, in_features: int, features: int, strides: int, rngs: nnx.Rngs):
        first = conv(in_features, features, (1, 1), strides, padding=0, rngs=rngs)
        self.layers = nnx.List([first, norm(features, rngs=rngs)])

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class Residual(nnx.Module):
    def __init__(self, in_features: int, features: int, strides: int, rngs: nnx.Rngs):
        self.conv1 = conv(in_features, features, (3, 3), strides, rngs=rngs)
        self.norm1 = norm(features, rngs=rngs)
        self.conv2 = conv(features, features, (3, 3), rngs=rngs)
        self.norm2 = norm(features, rngs=rngs)
        plain = in_features == features and strides == 1
        self.shortcut = None if plain else Shortcut(in_features, features, strides, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    def __init__(self, *, width: int, stages: tuple[int, ...], rngs: nnx.Rngs):
        self.conv, self.norm = conv(3, width, (3, 3), rngs=rngs), norm(width, rngs=rngs)
        blocks, channels = [], width
        for stage, length in enumerate(stages):
            for index in range(length):
                features, strides = width * 2**stage, 2 if stage and not index else 1
                blocks.append(Residual(channels, features, strides, rngs))
                channels = features
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(channels, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


class MLP(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs):
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(nnx.gelu(self.up(x)))


class Block(nnx.Module):
    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.attention_norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.mlp = MLP(width, rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = x + self.attention(self.attention_norm(x), mask=mask)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nnx.Module):
    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int,
        num_layers: int,
        width: int,
        num_heads: int,
        rngs: nnx.Rngs,
    ):
        self.tokens = nnx.Embed(vocab_size, width, rngs=rngs)
        self.positions = nnx.Embed(max_length, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, num_heads, rngs) for _ in range(num_layers)])
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[-1]))
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.tokens.attend(self.norm(x))


class LSTM(nnx.Module):
    def __init__(self, *, in_features: int, hidden_features: int, rngs: nnx.Rngs):
        cell = nnx.OptimizedLSTMCell(in_features, hidden_features, rngs=rngs)
        self.layers = nnx.List([nnx.RNN(cell, return_carry=True, rngs=rngs)])
        self.head = nnx.Linear(hidden_features, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        (_, h), _ = self.layers[0](x.reshape(*x.shape[:2], -1))
        return self.head(h)


MODELS = {"resnet18": ResNet, "transformer": Transformer, "lstm": LSTM}


def trainer(
    network: str, tx: optax.GradientTransformation, options: dict[str, Any], params: Any, stats: Any
) -> Callable[[dict[str, jax.Array]], jax.Array]:
    """A function that trains on a batch and returns its loss. It uses what Flax has to spare time: ``cached_partial``."""
    model = MODELS[network](**options, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    nnx.replace_by_pure_dict(state, params)
    nnx.update(model, state)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def train_step(model: Any, optimizer: Any, batch: dict[str, jax.Array]) -> jax.Array:
        def loss_fn(model: Any) -> jax.Array:
            logits = model(batch["input"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    return nnx.cached_partial(train_step, model, optimizer)
