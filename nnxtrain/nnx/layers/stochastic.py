"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from nnxtrain.nnx.module.module import Module
from nnxtrain.nnx.random.rngs import Rngs, RngStream


class Dropout(Module):
    """Set a random part of the elements to zero and scale the rest by ``1 / (1 - rate)``.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Args:
      rate: the probability of a zero, in [0, 1].
      broadcast_dims: axes along which all elements share one decision.
      deterministic: return the input (set by ``model.eval()``).
      rng_collection: the name of the random stream.
      rngs: random streams, of which the layer keeps a fork; without them, the call must be given some.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> layer = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    >>> sorted(set(layer(jnp.ones(100)).tolist()))
    [0.0, 2.0]
    >>> layer.eval()
    >>> layer(jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        rate: float,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
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
        if not isinstance(rngs, RngStream | None):
            raise TypeError(f"Dropout.rngs is nnx.Rngs or one of its streams; it got {rngs!r}")
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
        if deterministic is None:
            raise ValueError(
                "Dropout does not know whether to drop: call model.train() or model.eval(), or give deterministic"
            )
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
        shared = {axis % inputs.ndim for axis in self.broadcast_dims}
        shape = [1 if i in shared else n for i, n in enumerate(inputs.shape)]
        keep = 1.0 - self.rate
        kept = jnp.broadcast_to(jax.random.bernoulli(key, keep, tuple(shape)), inputs.shape)
        return jnp.where(kept, inputs / keep, jnp.zeros_like(inputs))

    def set_view(self, deterministic: bool | None = None) -> None:
        """Set ``deterministic`` where it is given."""
        if deterministic is not None:
            self.deterministic = deterministic
