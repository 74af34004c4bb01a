"""LeNet with Keras on JAX: ``compile`` and ``fit``, with its callback for checkpoints.

python scripts/bench/peers/keras_lenet.py --data DIR [--epochs 2] [--save DIR]
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import job
import keras
from keras import layers


class Phases(keras.callbacks.Callback):
    """Times what ``fit`` does: training and validation of each epoch, and what comes after them (saving)."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.name, self.since = clock, "", 0.0

    def enter(self, name):
        for variable in self.model.variables:  # what was dispatched belongs to the phase before
            getattr(variable.value, "block_until_ready", bool)()
        if self.name:
            self.clock.spent(self.name, time.perf_counter() - self.since)
        self.name, self.since = name, time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.enter("train")

    def on_test_begin(self, logs=None):
        self.enter("evaluate")

    def on_test_end(self, logs=None):
        self.enter("save")

    def on_train_end(self, logs=None):
        self.enter("")


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    with clock.phase("read"):
        splits = job.read(args.data)
    images, labels = splits["train"]
    size = len(images) // args.batch_size * args.batch_size
    with clock.phase("build"):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input(shape=images.shape[1:]),
                layers.Rescaling(1 / 255 / job.STD, offset=-job.MEAN / job.STD),
                layers.Conv2D(6, 5, padding="same", activation="relu"),
                layers.MaxPooling2D(2),
                layers.Conv2D(16, 5, padding="same", activation="relu"),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(120, activation="relu"),
                layers.Dense(84, activation="relu"),
                layers.Dense(job.CLASSES),
            ]
        )
        model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    callbacks = [Phases(clock)]
    if args.save:
        path = str(args.save / "{epoch}.keras")
        callbacks.append(keras.callbacks.ModelCheckpoint(path, monitor="val_accuracy"))
    history = model.fit(
        images[:size],
        labels[:size],
        batch_size=args.batch_size,
        epochs=args.epochs,
        shuffle=True,
        validation_data=splits["validation"],
        validation_batch_size=job.EVAL_BATCH,
        callbacks=callbacks,
        verbose=0,
    )
    scores = history.history["val_accuracy"]
    for epoch, accuracy in enumerate(scores):
        clock.log((epoch + 1) * (size // args.batch_size), "validation", accuracy=accuracy)
    if args.save:
        with clock.phase("restore"):
            best = max(range(args.epochs), key=lambda epoch: scores[epoch])
            model = keras.saving.load_model(args.save / f"{best + 1}.keras")
    with clock.phase("test"):
        loss, accuracy = model.evaluate(*splits["test"], batch_size=job.EVAL_BATCH, verbose=0)
    clock.finish(images=size, parameters=model.count_params(), loss=loss, accuracy=accuracy)


if __name__ == "__main__":
    main()
