"""Keys made on the host: a seed's, and the next one of a stream. JAX compiles programs for each, where a model starts.

The hash is threefry's, so the keys are those of ``jax.random``, bit for bit. What is traced, other generators' keys, and
counts that are still being computed are left to JAX.
"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from nnxtrain.nnx.random import blocks

_WORD = 0xFFFFFFFF


def from_seed(seed: int) -> jax.Array:
    """``jax.random.key(seed)``."""
    plain = type(seed) is int and -(2**63) <= seed < 2**63 and not jax.config.jax_enable_x64  # type: ignore[attr-defined]
    threefry = jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]
    if not plain or not threefry or not blocks.is_eager():
        return jax.random.key(seed)
    return _wrap(0, seed & _WORD)  # without x64 a seed has 32 bits


def next_key(key: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``jax.random.fold_in(key, count)`` and ``count + 1`` (uint32)."""
    if not _on_host(key, count):
        return _next_key(key, count)
    key0, key1 = np.asarray(jax.random.key_data(key)).tolist()
    number = int(count)
    following = np.asarray((number + 1) & _WORD, np.uint32)
    return _wrap(*_threefry2x32(key0, key1, 0, number)), jax.device_put(following)


def _on_host(key: jax.Array, count: jax.Array) -> bool:
    return (
        blocks.is_eager()
        and key.dtype != np.uint32  # a typed key
        and blocks.is_threefry(key)
        and not key.committed
        and not count.committed
        # else reading it would wait for the step that it comes out of
        and count.is_ready()  # type: ignore[attr-defined]
    )


@partial(jax.jit, inline=True)  # one program and one dispatch, not three
def _next_key(key: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.random.fold_in(key, count), count + 1


def _wrap(*words: int) -> jax.Array:
    data = jax.device_put(np.array(words, np.uint32))
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def _threefry2x32(key0: int, key1: int, x0: int, x1: int) -> tuple[int, int]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) on Python integers; see :mod:`nnxtrain.nnx.random.blocks`."""
    keys = (key0, key1, key0 ^ key1 ^ 0x1BD11BDA)
    x0, x1 = (x0 + key0) & _WORD, (x1 + key1) & _WORD
    for i in range(5):
        for rotation in blocks.ROTATIONS[i % 2]:
            x0 = (x0 + x1) & _WORD
            x1 = x0 ^ ((x1 << rotation | x1 >> (32 - rotation)) & _WORD)
        x0, x1 = (x0 + keys[(i + 1) % 3]) & _WORD, (x1 + keys[(i + 2) % 3] + i + 1) & _WORD
    return x0, x1
