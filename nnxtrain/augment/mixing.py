"""Mix each example, and its label, with another one of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.augment.box import Box
from nnxtrain.augment.transform import Batch, RandomTransform, unit_scale

QUANTILES = 4096  # of the beta distribution, between which we interpolate


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mixing(RandomTransform):
    """Pairs the rows by a permutation that follows from the key; what share a row keeps is drawn for each.

    ``label`` becomes soft, float32[B, classes]; ``target`` is mixed as it is.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.alpha > 0.0, "alpha", "greater than 0")
        if self.spec.vocab_size is not None:
            self.refuse("images or rows of numbers")

    @property
    def draws(self) -> int:  # type: ignore[override]
        return 5 if self.probability else 0

    @cached_property
    def _quantiles(self) -> np.ndarray:
        """Of Beta(alpha, alpha), float32[QUANTILES + 1]: rejection sampling would take seconds to compile."""
        from scipy.special import betaincinv

        places = np.linspace(0.0, 1.0, QUANTILES + 1)
        return betaincinv(self.alpha, self.alpha, places).astype(np.float32)

    def share(self, number: jax.Array) -> jax.Array:
        """Return numbers distributed as Beta(alpha, alpha) from uniform ones, float32 of the same shape."""
        table = jnp.asarray(self._quantiles)
        place = number * QUANTILES
        index = jnp.floor(place).astype(jnp.int32)
        return table[index] + (place - index) * (table[index + 1] - table[index])

    def mix(
        self, numbers: jax.Array, own: jax.Array, other: jax.Array, share: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return the mixture of two inputs, and which share of it is the first one's."""
        raise NotImplementedError

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        if self.probability == 0.0:
            return batch
        whether, amount, order = numbers[:, 0], numbers[:, 1], numbers[:, 2]
        share = jnp.where(whether < self.probability, self.share(amount), 1.0)
        partner = jnp.argsort(order)
        # Two rows read each image: without the barrier XLA makes it anew for both, with all that a chain did before.
        inputs = jax.lax.optimization_barrier(batch["input"])
        mixture, share = jax.vmap(self.mix)(numbers[:, 3:], inputs, inputs[partner], share)
        said = {name: batch[name] for name in batch if name in ("label", "target")}
        if "label" in said and self.spec.num_classes is not None:
            said["label"] = soft_labels(said["label"], self.spec.num_classes)
        weight = share[:, None]
        said = {name: weight * own + (1.0 - weight) * own[partner] for name, own in said.items()}
        return {**batch, "input": mixture, **said}


@dataclass(frozen=True, kw_only=True, eq=False)
class MixUp(_Mixing):
    """The sum of two examples (Zhang et al. 2017, https://arxiv.org/abs/1710.09412), for images and rows of numbers.

    Args:
      alpha: one's share is drawn from Beta(alpha, alpha), for each row.
      probability: the share of rows that are mixed.

    Bytes become float32 on the 0..1 scale.
    """

    alpha: float = 0.2

    def mix(
        self, numbers: jax.Array, own: jax.Array, other: jax.Array, share: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return share * unit_scale(own) + (1.0 - share) * unit_scale(other), share


@dataclass(frozen=True, kw_only=True, eq=False)
class CutMix(_Mixing):
    """A box of another image (Yun et al. 2019, https://arxiv.org/abs/1905.04899); the dtype is kept.

    Args:
      alpha: the share that one keeps is drawn from Beta(alpha, alpha), for each row; the box is cut off at the image's
        edge, and the label's share is that of the pixels.
      probability: the share of rows that are mixed.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_images()

    def mix(
        self, numbers: jax.Array, own: jax.Array, other: jax.Array, share: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        height, width = own.shape[:2]
        sides = jnp.array([height, width])
        centre = jnp.floor(numbers * sides).astype(jnp.int32)
        extent = jnp.floor(jnp.sqrt(1.0 - share) * sides).astype(jnp.int32)
        box = Box(*(centre - extent // 2), *extent)
        inside = box.mask(height, width)
        return jnp.where(inside, other, own), 1.0 - inside.mean(dtype=jnp.float32)


def soft_labels(labels: jax.Array, num_classes: int) -> jax.Array:
    """Return labels int[B] as float32[B, classes]; soft ones as they are.

    >>> soft_labels(jnp.array([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return labels
    return jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
