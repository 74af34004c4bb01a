"""LeNet with Flax NNX, as its MNIST tutorial trains (https://flax.readthedocs.io/en/stable/mnist_tutorial.html).

Checkpoints are Orbax's, as in its guide to saving (https://flax.readthedocs.io/en/stable/guides/checkpointing.html).

    python scripts/bench/peers/flax_lenet.py --data DIR [--epochs 2] [--save DIR]
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import job
import numpy as np
import optax
from flax import nnx


class LeNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(3, 6, kernel_size=(5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, kernel_size=(5, 5), rngs=rngs)
        self.linear1 = nnx.Linear(1024, 120, rngs=rngs)
        self.linear2 = nnx.Linear(120, 84, rngs=rngs)
        self.linear3 = nnx.Linear(84, job.CLASSES, rngs=rngs)

    def __call__(self, images):
        x = (images / 255.0 - job.MEAN) / job.STD
        x = nnx.max_pool(nnx.relu(self.conv1(x)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), window_shape=(2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        x = nnx.relu(self.linear1(x))
        x = nnx.relu(self.linear2(x))
        return self.linear3(x)


def loss_fn(model, batch):
    logits = model(batch["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return losses.mean(), logits


@nnx.jit
def train_step(model, optimizer, metrics, batch):
    grad_fn = nnx.value_and_grad(loss_fn, has_aux=True)
    (loss, logits), grads = grad_fn(model, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])
    optimizer.update(model, grads)


@nnx.jit
def eval_step(model, metrics, batch):
    loss, logits = loss_fn(model, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])


def batches(split, order, batch_size):
    images, labels = split
    for ids in np.split(order, len(order) // batch_size):
        yield {"image": images[ids], "label": labels[ids]}


def evaluate(model, metrics, split):
    model.eval()
    for batch in batches(split, np.arange(len(split[0])), min(job.EVAL_BATCH, len(split[0]))):
        eval_step(model, metrics, batch)
    found = {name: float(value) for name, value in metrics.compute().items()}
    metrics.reset()
    model.train()
    return found


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    with clock.phase("read"):
        splits = job.read(args.data)
    with clock.phase("build"):
        model = LeNet(rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
        jax.block_until_ready(nnx.state(optimizer))
        random = np.random.default_rng(0)
    if args.save:
        import orbax.checkpoint as ocp

        checkpointer = ocp.StandardCheckpointer()
    size = len(splits["train"][0]) // args.batch_size * args.batch_size
    step, scores = 0, []
    for epoch in range(args.epochs):
        with clock.phase("train"):
            order = random.permutation(len(splits["train"][0]))[:size]
            for batch in batches(splits["train"], order, args.batch_size):
                train_step(model, optimizer, metrics, batch)
                step += 1
                if step % job.LOG_EVERY == 0 or step * args.batch_size == (epoch + 1) * size:
                    clock.log(step, **metrics.compute())
                    metrics.reset()
        with clock.phase("evaluate"):
            scores.append(evaluate(model, metrics, splits["validation"]))
            clock.log(step, "validation", **scores[-1])
        if args.save:
            with clock.phase("save"):
                state = {"model": nnx.state(model), "optimizer": nnx.state(optimizer)}
                checkpointer.save(args.save / str(epoch), state)
    if args.save:
        with clock.phase("wait"):
            checkpointer.wait_until_finished()
        with clock.phase("restore"):
            best = max(range(args.epochs), key=lambda epoch: scores[epoch]["accuracy"])
            restored = checkpointer.restore(args.save / str(best), state)
            nnx.update(model, restored["model"])
            checkpointer.close()
    with clock.phase("test"):
        result = evaluate(model, metrics, splits["test"])
    parameters = sum(jnp.size(x) for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    clock.finish(images=size, parameters=parameters, **result)


if __name__ == "__main__":
    main()
