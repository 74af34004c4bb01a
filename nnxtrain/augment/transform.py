"""What all transforms have in common.

A transform works on the whole batch and on random numbers, ``numbers`` float32[B, draws], uniform in [0, 1). They are drawn
at once for all transforms of a chain, row i's from ``fold_in(key, i)``: each drawing by itself would cost half a second of
compilation on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from nnxtrain.augment.keys import row_keys
from nnxtrain.data.spec import Spec
from nnxtrain.errors import InputError

Batch = dict[str, jax.Array]


class Transform:
    """A pure function ``(key, batch) -> batch``, for use inside jit.

    A subclass gives :meth:`apply`, and says in ``draws`` how many random numbers it takes for each row.
    """

    draws: int = 0

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        """Return the changed batch; ``numbers`` are float32[B, draws], uniform in [0, 1)."""
        raise NotImplementedError

    def __call__(self, key: jax.Array, batch: Batch) -> Batch:
        if self.draws == 0:
            return self.apply(jnp.zeros((len(batch["input"]), 0)), batch)
        return self.apply(row_numbers(key, len(batch["input"]), self.draws), batch)


def row_numbers(key: jax.Array, size: int, draws: int) -> jax.Array:
    """Return uniform numbers in [0, 1), float32[size, draws]; a row's are those of its own key.

    >>> key = jax.random.key(0)
    >>> bool((row_numbers(key, 3, 2)[1] == jax.random.uniform(jax.random.fold_in(key, 1), 2)).all())
    True
    """
    return jax.vmap(lambda key: jax.random.uniform(key, (draws,)))(row_keys(key, size))


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomTransform(Transform):
    """A transform of a share of the rows, made for a data set.

    Args:
      probability: the share of rows that are changed; the others stay as they are. 0 changes nothing, dtypes included.
      spec: the data set's.

    Raises:
      InputError: an argument is out of its range, or the data is not of the kind that the transform is for.
    """

    probability: float = 1.0
    spec: Spec

    def __post_init__(self) -> None:
        self.require(0.0 <= self.probability <= 1.0, "probability", "between 0 and 1")

    def require(self, holds: bool, name: str, wanted: str) -> None:
        """Raise an InputError unless an argument is as it must be."""
        if not holds:
            got = getattr(self, name)
            raise InputError(f"augment: {type(self).__name__}.{name} must be {wanted}, got {got}")

    def require_range(self, name: str, *, at_most: float | None = None) -> None:
        """Raise an InputError unless an argument is ``[least, most]``, both positive."""
        value: Sequence[float] = getattr(self, name)
        holds = len(value) == 2 and 0.0 < value[0] <= value[1]
        holds = holds and (at_most is None or value[1] <= at_most)
        limit = "" if at_most is None else f" and at most {at_most:g}"
        self.require(holds, name, f"[least, most], above 0{limit}")

    def require_images(self) -> None:
        """Raise an InputError unless the examples are images."""
        if len(self.spec.input_shape) != 3 or self.spec.vocab_size is not None:
            self.refuse("images [height, width, channels]")

    def require_unit_scale(self) -> None:
        """Raise an InputError where the statistics of float images show that these are not on the 0..1 scale."""
        mean, std = (
            self.spec.mean,
            self.spec.std,
        )  # no deviation there is above 0.5; 1 says that a channel is constant
        if self.spec.input_dtype != "uint8" and not (
            all(0.0 <= m <= 1.0 for m in mean) and all(s <= 0.5 or s == 1.0 for s in std)
        ):
            raise InputError(
                f"augment: {type(self).__name__} needs images on the 0..1 scale; these have the means "
                f"[{', '.join(f'{m:.3g}' for m in mean)}]; save bytes (uint8) or numbers from 0 to 1, or leave it out"
            )

    def refuse(self, wanted: str) -> None:
        """Raise an InputError: the data is of another kind."""
        raise InputError(
            f"augment: {type(self).__name__} needs {wanted}, the data gives "
            f"{self.spec.unit} {list(self.spec.input_shape)}; leave it out, or use augment=none"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageTransform(RandomTransform):
    """Changes each image of a batch by itself. A subclass gives :meth:`row` and ``row_draws``.

    Images are uint8[H, W, C], or float32 on the 0..1 scale. What only moves pixels keeps the dtype; what computes new ones
    gives float32.
    """

    row_draws: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_images()

    @property
    def draws(self) -> int:  # type: ignore[override]
        return 1 + self.row_draws if self.probability else 0

    def row(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        """Return the changed image; ``numbers`` are float32[row_draws]. It runs under ``jax.vmap``."""
        raise NotImplementedError

    def apply(self, numbers: jax.Array, batch: Batch) -> Batch:
        if self.probability == 0.0:
            return batch
        return {**batch, "input": jax.vmap(self._sometimes)(numbers, batch["input"])}

    def _sometimes(self, numbers: jax.Array, image: jax.Array) -> jax.Array:
        changed = self.row(numbers[1:], image)
        if self.probability == 1.0:
            return changed
        if changed.dtype != image.dtype:
            image = unit_scale(image)
        return jnp.where(numbers[0] < self.probability, changed, image)


def unit_scale(image: jax.Array) -> jax.Array:
    """Return an image as float32 on the 0..1 scale: bytes are divided by 255, floats are on it already.

    >>> unit_scale(jnp.array([0, 255], jnp.uint8)).tolist()
    [0.0, 1.0]
    """
    scaled = image.astype(jnp.float32)
    return scaled / 255.0 if image.dtype == jnp.uint8 else scaled


def like(image: jax.Array, value: float | Sequence[float]) -> jax.Array:
    """Return values of the 0..1 scale in an image's own dtype: bytes for bytes.

    >>> like(jnp.zeros((2, 2, 3), jnp.uint8), [0.0, 0.5, 1.0]).tolist()
    [0, 128, 255]
    """
    scaled = jnp.asarray(value, jnp.float32)
    return (jnp.round(scaled * 255) if image.dtype == jnp.uint8 else scaled).astype(image.dtype)
