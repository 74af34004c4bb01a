"""Random arrays of any shape from one compiled program.

JAX compiles a sampler for each shape, which makes up most of the time it takes to build a model. But a threefry key
gives element i of an array bits that depend on the key and i alone (``jax_threefry_partitionable``). So one program of
a fixed size, to which the place of its first element is an argument, draws an array of any shape piece by piece.

The place travels inside the key: :data:`PLACED` is threefry with counters that start there, and ``jax.random.uniform``
draws from it unchanged. The numbers are those of ``jax.random``, bit for bit.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import define_prng_impl

from nnxtrain.nnx import trace

BLOCK = 2**15  # elements that are drawn at a time: few enough to stay in a core's cache
ROW = 2**18  # elements that a call of the program returns; it draws only the blocks that are needed
MAX_THREADS = 8  # that draw the rows of one large array

_SAMPLERS = ("uniform", "normal", "truncated_normal")
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _threefry2x32(
    key: tuple[jax.Array, jax.Array], x0: jax.Array, x1: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405), on uint32.

    JAX's own is a loop over its rounds on a CPU; unrolled, XLA makes one pass with the sampler that takes the bits.
    """
    keys = (*key, key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(5):
        for rotation in ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
        x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def _placed_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    """The bits of the elements that start at a place. ``key`` is uint32[4]: the threefry key, the place's halves."""
    low = (
        lax.iota(np.uint32, math.prod(shape)) + key[3]
    )  # a block never crosses a multiple of 2**32
    b0, b1 = _threefry2x32((key[0], key[1]), jnp.broadcast_to(key[2], low.shape), low)
    if width == 64:
        bits = (b0.astype(np.uint64) << np.uint64(32)) | b1.astype(np.uint64)
    else:
        bits = (b0 ^ b1).astype(f"uint{width}")
    return bits.reshape(shape)


def _unused(*args: Any) -> Any:
    raise NotImplementedError("a placed key is neither seeded, split nor folded into")


PLACED = define_prng_impl(
    key_shape=(4,),
    seed=_unused,
    split=_unused,
    fold_in=_unused,
    random_bits=_placed_bits,
    name="placed_threefry2x32",
    tag="placed_fry",
)


# XLA takes half of what AVX-512 offers unless it is asked; the numbers are the same.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_cpu_prefer_vector_width": 512})
def _row(dtype: Any, key: Any, num_blocks: Any, sampler: Any, low: Any, high: Any) -> jax.Array:
    """Draw ``num_blocks`` blocks from the key's place on; the rest of the row is zero.

    ``sampler`` (an index into ``_SAMPLERS``) is an argument too: a model that draws from several distributions needs
    one program. All begin with uniform numbers; the steps after that are those of ``jax.random``, in its order.
    """
    low, high = lax.convert_element_type(low, dtype), lax.convert_element_type(high, dtype)
    sqrt2, infinity = np.array(np.sqrt(2), dtype), np.array(np.inf, dtype)
    truncated = sampler == _SAMPLERS.index("truncated_normal")
    start = jnp.where(truncated, lax.erf(low / sqrt2), low)
    stop = jnp.where(truncated, lax.erf(high / sqrt2), high)
    least = jnp.where(truncated, lax.nextafter(low, infinity), -infinity)
    most = jnp.where(truncated, lax.nextafter(high, -infinity), infinity)

    def to_normal(uniform: jax.Array) -> jax.Array:
        return jnp.clip(sqrt2 * lax.erf_inv(uniform), least, most)

    def draw(i: jax.Array, row: jax.Array) -> jax.Array:
        first = i * BLOCK
        placed = jax.random.wrap_key_data(key.at[3].add(first.astype(np.uint32)), impl=PLACED)
        block = jax.random.uniform(placed, (BLOCK,), dtype, start, stop)
        is_normal = sampler != _SAMPLERS.index("uniform")
        block = lax.cond(is_normal, to_normal, lambda uniform: uniform, block)
        return lax.dynamic_update_slice(row, block, (first,))

    return lax.fori_loop(0, num_blocks, draw, jnp.zeros(ROW, dtype))


def sample(
    sampler: str,
    key: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    low: float = 0.0,
    high: float = 1.0,
    scale: Any = 1.0,
) -> jax.Array:
    """``scale * jax.random.<sampler>(key, shape, dtype)`` for a key that :func:`fits`.

    Args:
      sampler: "uniform" (in [low, high)), "normal" or "truncated_normal" (in (low, high)).
      key: a typed or raw threefry key.
      dtype: float16, bfloat16, float32 or float64.
      scale: taken as a number of ``dtype``.

    Returns:
      an uncommitted array on the default device.
    """
    data = np.asarray(key if key.dtype == np.uint32 else jax.random.key_data(key))
    scale = np.asarray(scale, dtype)
    if sampler == "normal":  # from uniform numbers in the open interval (-1, 1)
        low, high = float(np.nextafter(np.array(-1, dtype), np.array(0, dtype))), 1.0
    parameters = (np.int32(_SAMPLERS.index(sampler)), low, high)
    size = math.prod(shape)
    host = aligned(size, dtype)
    device, x64 = jax.config.jax_default_device, jax.config.jax_enable_x64  # type: ignore[attr-defined]

    def fill(start: int) -> None:
        placed = np.array([*data, start >> 32, start & 0xFFFFFFFF], np.uint32)
        stop = min(start + ROW, size)
        num_blocks = np.int32(-(-(stop - start) // BLOCK))
        with jax.default_device(device), jax.enable_x64(x64):  # a thread starts without them
            row = np.asarray(_row(dtype, placed, num_blocks, *parameters))
        # Scaled here, as XLA would merge the factor with the sampler's own, and round differently than JAX.
        np.multiply(row[: stop - start], scale, out=host[start:stop])

    starts = list(range(0, size, ROW))
    compiled = _row._cache_size() > 0  # type: ignore[attr-defined]
    if len(starts) <= 1 or not compiled:  # not by several threads at once
        fill(starts.pop(0) if starts else 0)
    if starts:  # what one thread runs XLA does in sequence
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as threads:
            list(threads.map(fill, starts))
    return jax.device_put(host.reshape(shape))


def aligned(size: int, dtype: np.dtype, *, zero: bool = False) -> np.ndarray:
    """An empty array that JAX on a CPU takes over as it is (others it copies): it starts at a multiple of 64 bytes.

    With ``zero`` it is one of zeros, whose memory is taken when it is first used.
    """
    memory = (np.zeros if zero else np.empty)(size * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * dtype.itemsize].view(dtype)


_DTYPES = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))


def fits(key: Any, dtype: Any) -> bool:
    """Whether :func:`sample` can stand in for ``jax.random``: an eager call, a threefry key, a usual dtype."""
    return (
        is_eager()
        and isinstance(key, jax.Array)
        and not key.committed
        and jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
        and is_threefry(key)
        and is_available(dtype)
        and jnp.dtype(dtype) in _DTYPES
    )


def is_available(dtype: Any) -> bool:
    """Whether this is a plain dtype that JAX keeps as it is (without x64, not one of 64 bits)."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return False
    return jax.dtypes.canonicalize_dtype(dtype) == jnp.dtype(dtype)


def is_eager() -> bool:
    """Whether arrays can be made on the host: outside of every trace, and no mesh asks for their sharding."""
    return (
        trace.current_trace() is trace.EAGER
        and not jax.config.jax_disable_jit  # type: ignore[attr-defined]
        and jax.sharding.get_abstract_mesh().empty
    )


def is_threefry(key: jax.Array) -> bool:
    """Whether this is one key of threefry's, typed or raw."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key.shape == () and jax.random.key_impl(key) == "threefry2x32"
    raw = key.shape == (2,) and key.dtype == np.uint32
    return raw and jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]
