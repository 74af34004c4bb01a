"""The networks in plain JAX, as one writes them by hand: functions of nested dicts of arrays, optax, one donated jit.

The parameters have the names and shapes of nnxtrain's models, but that the transformer's queries, keys and values come
from one matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

Arrays = dict[Any, Any]


def conv(x: jax.Array, p: Arrays, strides: int = 1) -> jax.Array:
    kernel = p["kernel"]
    pad = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x, kernel, (strides,) * 2, [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def batch_norm(x: jax.Array, p: Arrays, stats: Arrays) -> tuple[jax.Array, Arrays]:
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    new = {"mean": 0.9 * stats["mean"] + 0.1 * mean, "var": 0.9 * stats["var"] + 0.1 * var}
    return (x - mean) * (lax.rsqrt(var + 1e-5) * p["scale"]) + p["bias"], new


def resnet18(params: Arrays, stats: Arrays, x: jax.Array) -> tuple[jax.Array, Arrays]:
    new: Arrays = {"blocks": {}}
    x, new["norm"] = batch_norm(conv(x, params["conv"]), params["norm"], stats["norm"])
    x = jax.nn.relu(x)
    for number, p in params["blocks"].items():
        s, n = stats["blocks"][number], {}
        strides = 2 if "shortcut" in p else 1
        y, n["norm1"] = batch_norm(conv(x, p["conv1"], strides), p["norm1"], s["norm1"])
        y = conv(jax.nn.relu(y), p["conv2"])
        y, n["norm2"] = batch_norm(y, p["norm2"], s["norm2"])
        if "shortcut" in p:
            (at_conv, at_norm), parts = sorted(p["shortcut"]["layers"]), p["shortcut"]["layers"]
            x = conv(x, parts[at_conv], strides)
            x, new_stats = batch_norm(x, parts[at_norm], s["shortcut"]["layers"][at_norm])
            n["shortcut"] = {"layers": {at_norm: new_stats}}
        x = jax.nn.relu(x + y)
        new["blocks"][number] = n
    return x.mean((1, 2)) @ params["head"]["kernel"] + params["head"]["bias"], new


def layer_norm(x: jax.Array, p: Arrays) -> jax.Array:
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"]


def linear(x: jax.Array, p: Arrays) -> jax.Array:
    return x @ p["kernel"] + p["bias"]


def transformer(params: Arrays, stats: Arrays, tokens: jax.Array, *, heads: int) -> tuple:
    embedding = params["tokens"]["embedding"]
    x = embedding[tokens] + params["positions"]["embedding"][: tokens.shape[1]]
    batch, length, width = x.shape
    for p in params["blocks"].values():
        y = linear(layer_norm(x, p["attention_norm"]), p["attention"]["qkv"])
        q, k, v = jnp.split(y.reshape(batch, length, 3 * heads, width // heads), 3, axis=2)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape)
        x = x + linear(y, p["attention"]["out"])
        y = jax.nn.gelu(linear(layer_norm(x, p["mlp_norm"]), p["mlp"]["up"]))
        x = x + linear(y, p["mlp"]["down"])
    return layer_norm(x, params["norm"]) @ embedding.T, stats


def fused(params: Arrays) -> Arrays:
    """The transformer's parameters with one matrix for queries, keys and values."""

    def attention(p: Arrays) -> Arrays:
        width, parts = p["query"]["kernel"].shape[0], [p["query"], p["key"], p["value"]]
        return {
            "qkv": {
                "kernel": jnp.concatenate([q["kernel"].reshape(width, -1) for q in parts], 1),
                "bias": jnp.concatenate([q["bias"].reshape(-1) for q in parts]),
            },
            "out": {"kernel": p["out"]["kernel"].reshape(-1, width), "bias": p["out"]["bias"]},
        }

    blocks = {n: {**p, "attention": attention(p["attention"])} for n, p in params["blocks"].items()}
    return {**params, "blocks": blocks}


def lstm(params: Arrays, stats: Arrays, x: jax.Array) -> tuple[jax.Array, Arrays]:
    (layer,) = params["layers"].values()
    of_input, of_hidden = layer["cell"]["dense_i"]["kernel"], layer["cell"]["dense_h"]

    def step(carry: tuple, x: jax.Array) -> tuple:
        c, h = carry
        i, f, g, o = jnp.split(x + h @ of_hidden["kernel"] + of_hidden["bias"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (c, jax.nn.sigmoid(o) * jnp.tanh(c)), None

    x = x.reshape(*x.shape[:2], -1).swapaxes(0, 1)
    start = jnp.zeros((x.shape[1], of_hidden["kernel"].shape[0]))
    (_, h), _ = lax.scan(step, (start, start), x @ of_input)
    return h @ params["head"]["kernel"] + params["head"]["bias"], stats


def trainer(
    network: str, tx: optax.GradientTransformation, options: Arrays, params: Arrays, stats: Arrays
) -> Callable[[Arrays], jax.Array]:
    """A function that trains on a batch and returns its loss."""
    apply = {"resnet18": resnet18, "transformer": transformer, "lstm": lstm}[network]
    if network == "transformer":
        apply, params = partial(transformer, heads=options["num_heads"]), fused(params)

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: Arrays) -> tuple:
        params, stats, opt_state = state

        def loss_fn(params: Arrays) -> tuple:
            logits, new = apply(params, stats, batch["input"])
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
            return loss.mean(), new

        (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), stats, opt_state), loss

    state = jax.tree.map(jnp.array, (params, stats, tx.init(params)))

    def train(batch: Arrays) -> jax.Array:
        nonlocal state
        state, loss = step(state, batch)
        return loss

    return train
