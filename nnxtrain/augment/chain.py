"""Transforms put together."""

from __future__ import annotations

from collections.abc import Callable

import jax

from nnxtrain.augment.transform import Batch

Augment = Callable[[jax.Array, Batch], Batch]


class Identity:
    """No augmentation."""

    def __call__(self, key: jax.Array, batch: Batch) -> Batch:
        return batch


class Chain:
    """Transforms one after the other, in the order given; one that is None is left out.

    They have names, so that a configuration can change one of them: ``augment.crop.padding=2``, ``augment.flip=null``.
    The n-th gets ``fold_in(key, n)``; leaving one out does not change what the others draw.
    """

    def __init__(self, **transforms: Augment | None) -> None:
        self.transforms = transforms

    def __call__(self, key: jax.Array, batch: Batch) -> Batch:
        for position, transform in enumerate(self.transforms.values()):
            if transform is not None:
                batch = transform(jax.random.fold_in(key, position), batch)
        return batch
