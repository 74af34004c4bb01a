"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from nnxtrain.nnx.module import Module
from nnxtrain.nnx.rngs import Rngs, RngStream


class Dropout(Module):
    """Set a random part of the elements to zero and scale the rest by ``1 / (1 - rate)``.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Args:
      rate: the probability of a zero, in [0, 1].
      broadcast_dims: axes along which all elements share one decision.
      deterministic: return the input (set by ``model.eval()``).
      rng_collection: the name of the random stream.
      rngs: random streams, of which the layer keeps a fork; without them, the call must be given some.
    """

    def __init__(
        self,
        rate: float,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool = False,
        rng_collection: str = "dropout",
        rngs: Rngs | RngStream | None = None,
    ):
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"Dropout.rate is a probability, 0 to 1; it got {rate}")
        self.rate = rate
        self.broadcast_dims = tuple(broadcast_dims)
        self.deterministic = deterministic
        self.rng_collection = rng_collection
        if isinstance(rngs, Rngs):
            rngs = rngs[rng_collection]
        self.rngs = None if rngs is None else rngs.fork()

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: Rngs | RngStream | jax.Array | None = None,
    ) -> jax.Array:
        """Drop elements of ``inputs`` (any shape), with the random stream or key of the call, or else the layer's own."""
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic or self.rate == 0.0:
            return inputs
        if self.rate == 1.0:
            return jnp.zeros_like(inputs)
        source = self.rngs if rngs is None else rngs
        if isinstance(source, Rngs):
            source = source[self.rng_collection]
        if source is None:
            raise ValueError(
                "Dropout has no random stream: make it with rngs=nnx.Rngs(...), pass rngs to the call, or call model.eval()"
            )
        key = source() if isinstance(source, RngStream) else source
        shape = [
            1 if i in {d % inputs.ndim for d in self.broadcast_dims} else n
            for i, n in enumerate(inputs.shape)
        ]
        keep = 1.0 - self.rate
        kept = jnp.broadcast_to(jax.random.bernoulli(key, keep, tuple(shape)), inputs.shape)
        return jnp.where(kept, inputs / keep, jnp.zeros_like(inputs))

    def set_view(self, deterministic: bool | None = None) -> None:
        """Set ``deterministic`` where it is given."""
        if deterministic is not None:
            self.deterministic = deterministic
