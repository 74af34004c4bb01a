"""The scripts that ``start.py`` compares: each trains one of its models for one step, as its user would write it by hand.

    python scripts/bench/start_peers.py (jax|keras|lightning) (lenet|resnet18|transformer)

prints one JSON line when the first step is done: parameters and loss. Data is made in memory, its shapes those of the
configurations; what nnxtrain does beside training (checks, a run's directory, metrics) none of them does.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import numpy as np

RATE, CLASSES = 1e-3, {"lenet": 5, "resnet18": 10}
BATCH = {"lenet": 128, "resnet18": 8, "transformer": 8}
VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS = 256, 64, 128, 4, 4


def images(model: str) -> tuple[np.ndarray, np.ndarray]:
    random, count = np.random.default_rng(0), BATCH[model]
    pixels = random.integers(0, 256, (count, 32, 32, 3), np.uint8).astype(np.float32) / 255
    return pixels, random.integers(0, CLASSES[model], count).astype(np.int32)


def of_jax(model: str) -> dict[str, Any]:
    """Plain functions on dicts of arrays, optax; both initialisation and step compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    def kernel(key: Any, *shape: int) -> Any:
        return jax.random.normal(key, shape) * math.sqrt(2 / math.prod(shape[:-1]))

    def conv(x: Any, w: Any, strides: int = 1) -> Any:
        form = ("NHWC", "HWIO", "NHWC")
        pad = [(w.shape[0] // 2, (w.shape[0] - 1) // 2)] * 2
        return jax.lax.conv_general_dilated(x, w, (strides, strides), pad, dimension_numbers=form)

    def pool(x: Any) -> Any:
        window = (1, 2, 2, 1)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    def lenet_init(key: Any) -> dict:
        keys = jax.random.split(key, 5)
        shapes = [(5, 5, 3, 6), (5, 5, 6, 16), (1024, 120), (120, 84), (84, CLASSES["lenet"])]
        return {
            f"layer{i}": {"kernel": kernel(k, *s), "bias": jnp.zeros(s[-1])}
            for i, (k, s) in enumerate(zip(keys, shapes))
        }

    def lenet(params: dict, x: Any) -> Any:
        for i in range(5):
            w, b = params[f"layer{i}"]["kernel"], params[f"layer{i}"]["bias"]
            if i < 2:
                x = pool(jax.nn.relu(conv(x, w) + b))
            else:
                x = x.reshape(len(x), -1) @ w + b
                x = jax.nn.relu(x) if i < 4 else x
        return x

    stages = [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]

    def resnet_init(key: Any) -> dict:
        def norm(n: int) -> dict:
            return {"scale": jnp.ones(n), "bias": jnp.zeros(n)}

        keys = iter(jax.random.split(key, 32))
        params: dict = {"stem": kernel(next(keys), 3, 3, 3, 64), "norm": norm(64)}
        size = 64
        for i, (features, strides) in enumerate(stages):
            block = {"conv1": kernel(next(keys), 3, 3, size, features), "norm1": norm(features)}
            block |= {"conv2": kernel(next(keys), 3, 3, features, features), "norm2": norm(features)}  # fmt: skip
            if strides > 1:
                block |= {"conv3": kernel(next(keys), 1, 1, size, features), "norm3": norm(features)}  # fmt: skip
            params[f"block{i}"], size = block, features
        params["head"] = {"kernel": kernel(next(keys), 512, 10), "bias": jnp.zeros(10)}
        return params

    def resnet(params: dict, x: Any) -> Any:
        def norm(x: Any, p: dict) -> Any:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"]

        x = jax.nn.relu(norm(conv(x, params["stem"]), params["norm"]))
        for i, (_, strides) in enumerate(stages):
            p = params[f"block{i}"]
            y = jax.nn.relu(norm(conv(x, p["conv1"], strides), p["norm1"]))
            y = norm(conv(y, p["conv2"]), p["norm2"])
            x = norm(conv(x, p["conv3"], strides), p["norm3"]) if strides > 1 else x
            x = jax.nn.relu(x + y)
        return x.mean((1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]

    def transformer_init(key: Any) -> dict:
        keys = iter(jax.random.split(key, 6 * LAYERS + 1))
        normal = jax.random.normal
        params: dict = {"tokens": normal(next(keys), (VOCABULARY, WIDTH)) * 0.02}
        params["norm"] = jnp.ones(WIDTH)
        sizes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "out": (WIDTH, WIDTH)}  # fmt: skip
        sizes |= {"up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
        for i in range(LAYERS):
            block = {name: normal(next(keys), size) * 0.02 for name, size in sizes.items()}
            params[f"block{i}"] = block | {"norm1": jnp.ones(WIDTH), "norm2": jnp.ones(WIDTH)}
        return params

    def transformer(params: dict, tokens: Any) -> Any:
        def norm(x: Any, scale: Any) -> Any:
            return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale

        def rotary(x: Any) -> Any:
            half = x.shape[-1] // 2
            angles = jnp.arange(LENGTH)[:, None] * 10_000.0 ** (-jnp.arange(half) / half)
            sin, cos = jnp.sin(angles)[:, None], jnp.cos(angles)[:, None]
            a, b = jnp.split(x, 2, -1)
            return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        x = params["tokens"][tokens]
        for i in range(LAYERS):
            p = params[f"block{i}"]
            y, heads = norm(x, p["norm1"]), (*x.shape[:2], HEADS, WIDTH // HEADS)
            q, k, v = ((y @ p[name]).reshape(heads) for name in "qkv")
            y = jax.nn.dot_product_attention(rotary(q), rotary(k), v, is_causal=True)
            x = x + y.reshape(x.shape) @ p["out"]
            x = x + jax.nn.gelu(norm(x, p["norm2"]) @ p["up"]) @ p["down"]
        return norm(x, params["norm"]) @ params["tokens"].T

    init, apply = {
        "lenet": (lenet_init, lenet),
        "resnet18": (resnet_init, resnet),
        "transformer": (transformer_init, transformer),
    }[model]
    tx = optax.adam(RATE)

    @jax.jit
    def create(key: Any) -> tuple:
        params = init(key)
        return params, tx.init(params)

    def step(params: dict, opt_state: Any, x: Any, y: Any) -> tuple:
        def loss_fn(params: dict) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, x), y).mean()

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    if model == "transformer":
        tokens = np.random.default_rng(0).integers(0, VOCABULARY, (BATCH[model], LENGTH + 1))
        x, y = tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32)
    else:
        x, y = images(model)
    params, opt_state = create(jax.random.key(0))
    size = sum(p.size for p in jax.tree.leaves(params))
    _, _, loss = jax.jit(step, donate_argnums=(0, 1))(params, opt_state, x, y)
    return {"loss": float(loss), "parameters": size}


def of_keras(model: str) -> dict[str, Any]:
    """LeNet as a Sequential model, ``fit`` for one step."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(CLASSES[model]),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    history = net.fit(*images(model), batch_size=BATCH[model], epochs=1, verbose=0)
    return {"loss": history.history["loss"][0], "parameters": net.count_params()}


def of_lightning(model: str) -> dict[str, Any]:
    """LeNet as a LightningModule, ``Trainer.fit`` for one step, without checkpoints and loggers."""
    import lightning
    import torch
    from torch import nn

    class LeNet(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(1024, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                nn.Linear(84, CLASSES[model]),
            )  # fmt: skip

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            self.loss = nn.functional.cross_entropy(self.net(x), y)
            return self.loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), RATE)

    pixels, labels = images(model)
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    data = torch.utils.data.TensorDataset(x, torch.from_numpy(labels).long())
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = lightning.Trainer(accelerator="cpu", max_steps=1, enable_checkpointing=False, **quiet)
    net = LeNet()
    trainer.fit(net, torch.utils.data.DataLoader(data, BATCH[model], shuffle=True))
    return {"loss": float(net.loss), "parameters": sum(p.numel() for p in net.parameters())}


PEERS = {"jax": of_jax, "keras": of_keras, "lightning": of_lightning}

if __name__ == "__main__":
    print(json.dumps(PEERS[sys.argv[1]](sys.argv[2])), flush=True)
