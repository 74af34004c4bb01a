"""LeNet by hand in JAX with the data on the device and several steps in one dispatch, as XLA compiles it by default.

:func:`convolve` and :func:`max_pool` are plain JAX: nnxtrain's layers have faster forms on a CPU.

    python scripts/bench/peers/jax_best_lenet.py --data DIR [--epochs 2] [--save DIR]
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import job
import numpy as np
import optax

STEPS_PER_CALL = 5
KERNELS = {"conv1": (5, 5, 3, 6), "conv2": (5, 5, 6, 16)} | {
    "dense1": (1024, 120),
    "dense2": (120, 84),
    "dense3": (84, job.CLASSES),
}
tx = optax.adam(1e-3)


def convolve(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def max_pool(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


@jax.jit
def create(key):
    normal = jax.nn.initializers.lecun_normal()
    params = {
        name: {"kernel": normal(k, shape), "bias": jnp.zeros(shape[-1])}
        for k, (name, shape) in zip(jax.random.split(key, len(KERNELS)), KERNELS.items())
    }
    return {"params": params, "adam": tx.init(params), "sums": jnp.zeros(2)}


def losses_and_hits(params, images, labels):
    x = (images / 255.0 - job.MEAN) / job.STD
    for name in ("conv1", "conv2"):
        x = max_pool(jax.nn.relu(convolve(x, params[name]["kernel"]) + params[name]["bias"]))
    x = x.reshape(x.shape[0], -1)
    for name in ("dense1", "dense2", "dense3"):
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = x if name == "dense3" else jax.nn.relu(x)
    return optax.softmax_cross_entropy_with_integer_labels(x, labels), x.argmax(-1) == labels


@partial(jax.jit, donate_argnums=0)
def train_steps(state, images, labels, ids):
    """A step for each row of ``ids``, one after the other: on a CPU a convolution in a loop of XLA's runs on one core."""

    def loss_fn(params, rows):
        losses, hits = losses_and_hits(params, images[rows], labels[rows])
        return losses.mean(), hits.mean()

    params, adam, sums = state["params"], state["adam"], state["sums"]
    for rows in ids:
        (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, rows)
        updates, adam = tx.update(grads, adam)
        params = optax.apply_updates(params, updates)
        sums += jnp.array([loss, accuracy])
    return {"params": params, "adam": adam, "sums": sums}


@jax.jit
def eval_step(params, images, labels):
    """The mean loss and accuracy of a whole split."""
    batches = range(0, len(images), job.EVAL_BATCH)
    parts = [slice(start, start + job.EVAL_BATCH) for start in batches]
    found = [losses_and_hits(params, images[part], labels[part]) for part in parts]
    return [jnp.concatenate(values).mean() for values in zip(*found)]


def evaluate(params, images, labels):
    loss, accuracy = jax.device_get(eval_step(params, images, labels))
    return {"loss": float(loss), "accuracy": float(accuracy)}


@jax.jit
def copy(state):
    return jax.tree.map(jnp.copy, state)


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    with clock.phase("read"):
        splits = jax.device_put(job.read(args.data))
    images, labels = splits["train"]
    with clock.phase("build"):
        state = jax.block_until_ready(create(jax.random.key(0)))
        random = np.random.default_rng(0)
    if args.save:
        import orbax.checkpoint as ocp

        checkpointer = ocp.StandardCheckpointer()
    steps, scores = len(images) // args.batch_size, []
    for epoch in range(args.epochs):
        with clock.phase("train"):
            order = random.permutation(len(images)).astype(np.int32)
            ids = order[: steps * args.batch_size].reshape(steps, -1)
            since = 0
            for start in range(0, steps, STEPS_PER_CALL):
                state = train_steps(state, images, labels, ids[start : start + STEPS_PER_CALL])
                done = min(start + STEPS_PER_CALL, steps)
                if done % job.LOG_EVERY == 0 or done == steps:
                    loss, accuracy = np.asarray(state["sums"]) / (done - since)
                    clock.log(epoch * steps + done, loss=loss, accuracy=accuracy)
                    state["sums"], since = np.zeros(2, np.float32), done
        with clock.phase("evaluate"):
            scores.append(evaluate(state["params"], *splits["validation"]))
            clock.log((epoch + 1) * steps, "validation", **scores[-1])
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
        result = evaluate(state["params"], *splits["test"])
    parameters = sum(x.size for x in jax.tree.leaves(state["params"]))
    clock.finish(images=steps * args.batch_size, parameters=parameters, **result)


if __name__ == "__main__":
    main()
