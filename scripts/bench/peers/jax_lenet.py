"""LeNet by hand in JAX and Optax: what a careful script without a framework is.

One compiled step of a flat tree of arrays, donated; batches are indexed with NumPy; Orbax saves in the background.

With ``--fastest`` convolutions, pooling, compiler options and the C library's settings are nnxtrain's for a CPU: how fast
this loop can be.

    python scripts/bench/peers/jax_lenet.py --data DIR [--epochs 2] [--save DIR] [--fastest]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import job
import numpy as np
import optax

KERNELS = {"conv1": (5, 5, 3, 6), "conv2": (5, 5, 6, 16)} | {
    "dense1": (1024, 120),
    "dense2": (120, 84),
    "dense3": (84, job.CLASSES),
}
tx = optax.adam(1e-3)


@jax.jit
def create(key):
    normal = jax.nn.initializers.lecun_normal()
    params = {
        name: {"kernel": normal(k, shape), "bias": jnp.zeros(shape[-1])}
        for k, (name, shape) in zip(jax.random.split(key, len(KERNELS)), KERNELS.items())
    }
    return {"params": params, "adam": tx.init(params), "sums": jnp.zeros(2)}


class Forms(NamedTuple):
    convolve: Callable
    max_pool: Callable
    compiler_options: dict | None = None


def convolve(x, kernel, multiply=jax.lax.conv_general_dilated):
    options = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "feature_group_count": 1}
    layout = ("NHWC", "HWIO", "NHWC")
    return multiply(x, kernel, (1, 1), "SAME", dimension_numbers=layout, **options)


def max_pool(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def fastest():
    from nnxtrain import nnx
    from nnxtrain.cli.freed_memory import keep_freed_memory
    from nnxtrain.nnx.layers.convolution import conv_general_dilated
    from nnxtrain.training.compiling import compiler_options
    from nnxtrain.training.dispatch import dispatch_as_told

    keep_freed_memory(os.environ)
    dispatch_as_told(os.environ)
    return Forms(
        partial(convolve, multiply=conv_general_dilated),
        partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2)),
        compiler_options(),
    )


def losses_and_hits(forms, params, images, labels):
    x = (images / 255.0 - job.MEAN) / job.STD
    for name in ("conv1", "conv2"):
        y = forms.convolve(x, params[name]["kernel"]) + params[name]["bias"]
        x = forms.max_pool(jax.nn.relu(y))
    x = x.reshape(x.shape[0], -1)
    for name in ("dense1", "dense2", "dense3"):
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = x if name == "dense3" else jax.nn.relu(x)
    return optax.softmax_cross_entropy_with_integer_labels(x, labels), x.argmax(-1) == labels


def train_step(forms, state, images, labels):
    def loss_fn(params):
        losses, hits = losses_and_hits(forms, params, images, labels)
        return losses.mean(), hits.mean()

    (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(state["params"])
    updates, adam = tx.update(grads, state["adam"])
    params = optax.apply_updates(state["params"], updates)
    return {"params": params, "adam": adam, "sums": state["sums"] + jnp.array([loss, accuracy])}


def eval_step(forms, sums, params, images, labels):
    losses, hits = losses_and_hits(forms, params, images, labels)
    return sums + jnp.array([losses.sum(), hits.sum()])


def evaluate(eval_step, params, images, labels):
    sums = np.zeros(2, np.float32)
    for start in range(0, len(images), job.EVAL_BATCH):
        part = slice(start, start + job.EVAL_BATCH)
        sums = eval_step(sums, params, images[part], labels[part])
    loss, accuracy = np.asarray(sums) / len(images)
    return {"loss": float(loss), "accuracy": float(accuracy)}


@jax.jit
def copy(state):
    return jax.tree.map(jnp.copy, state)


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    forms = fastest() if args.fastest else Forms(convolve, max_pool)  # before JAX computes
    with clock.phase("read"):
        splits = job.read(args.data)
    images, labels = splits["train"]
    options = {"compiler_options": forms.compiler_options}
    train = jax.jit(partial(train_step, forms), donate_argnums=0, **options)
    eval_ = jax.jit(partial(eval_step, forms), **options)
    with clock.phase("build"):
        state = jax.block_until_ready(create(jax.random.key(0)))
        random = np.random.default_rng(0)
    if args.save:
        import orbax.checkpoint as ocp

        checkpointer = ocp.StandardCheckpointer()
    steps, step, scores = len(images) // args.batch_size, 0, []
    for epoch in range(args.epochs):
        with clock.phase("train"):
            order = random.permutation(len(images))
            since = step
            for ids in order[: steps * args.batch_size].reshape(steps, -1):
                state = train(state, images[ids], labels[ids])
                step += 1
                if step % job.LOG_EVERY == 0 or step == (epoch + 1) * steps:
                    loss, accuracy = np.asarray(state["sums"]) / (step - since)
                    clock.log(step, loss=loss, accuracy=accuracy)
                    state["sums"], since = np.zeros(2, np.float32), step
        with clock.phase("evaluate"):
            scores.append(evaluate(eval_, state["params"], *splits["validation"]))
            clock.log(step, "validation", **scores[-1])
        if args.save:
            with clock.phase("save"):  # a copy: the next step writes over the state
                checkpointer.save(args.save / str(epoch), copy(state))
    if args.save:
        with clock.phase("wait"):
            checkpointer.wait_until_finished()
        with clock.phase("restore"):
            best = max(range(args.epochs), key=lambda epoch: scores[epoch]["accuracy"])
            state = checkpointer.restore(args.save / str(best), copy(state))
            checkpointer.close()
    with clock.phase("test"):
        result = evaluate(eval_, state["params"], *splits["test"])
    parameters = sum(x.size for x in jax.tree.leaves(state["params"]))
    clock.finish(images=steps * args.batch_size, parameters=parameters, **result)


if __name__ == "__main__":
    main()
