"""Transforms put together."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nnxtrain.augment.mixing import soft_labels
from nnxtrain.augment.transform import Batch, Transform, unit_scale
from nnxtrain.errors import InputError


class Identity(Transform):
    """No augmentation."""

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        return batch


class Chain(Transform):
    """Transforms one after the other, in the order given; one that is None is left out.

    They have names, so that a configuration can change one of them: ``augment.crop.padding=2``, ``augment.flip=null``.
    """

    def __init__(self, **transforms: Transform | None) -> None:
        self.transforms = _given("Chain", transforms)
        self.draws = sum(transform.draws for transform in self.transforms)

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        start = 0
        for transform in self.transforms:
            batch = transform.apply(numbers[:, start : start + transform.draws], batch)
            start += transform.draws
        return batch


class OneOf(Transform):
    """For each batch one of several transforms, each as often as the others.

    Where one of them gives float images or soft labels, so does the whole.
    """

    def __init__(self, **transforms: Transform | None) -> None:
        self.transforms = _given("OneOf", transforms)
        if not self.transforms:
            raise InputError("augment: OneOf has nothing to choose from")
        self.draws = 1 + max(transform.draws for transform in self.transforms)

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        def run(transform: Transform, numbers: jax.Array, batch: Batch) -> Batch:
            return transform.apply(numbers[:, 1 : 1 + transform.draws], batch)

        results = [
            jax.eval_shape(lambda n, b, t=t: run(t, n, b), numbers, batch) for t in self.transforms
        ]
        floats = any(result["input"].dtype == jnp.float32 for result in results)
        classes = [
            result["label"].shape[1]
            for result in results
            if "label" in result and jnp.issubdtype(result["label"].dtype, jnp.floating)
        ]

        def alike(numbers: jax.Array, batch: Batch, transform: Transform) -> Batch:
            batch = run(transform, numbers, batch)
            if floats:
                batch = {**batch, "input": unit_scale(batch["input"])}
            if classes:
                batch = {**batch, "label": soft_labels(batch["label"], classes[0])}
            return batch

        branches = [lambda n, b, t=t: alike(n, b, t) for t in self.transforms]
        choice = jnp.floor(numbers[0, 0] * len(branches)).astype(jnp.int32)
        return jax.lax.switch(choice, branches, numbers, batch)


def _given(kind: str, transforms: dict[str, Transform | None]) -> list[Transform]:
    for name, transform in transforms.items():
        if not isinstance(transform, Transform | None):
            raise InputError(
                f"augment: {kind} takes transforms (nnxtrain.augment), {name!r} is of type {type(transform).__name__}"
            )
    return [transform for transform in transforms.values() if transform is not None]
