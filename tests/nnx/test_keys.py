"""Keys made on the host are those of jax.random, and compile nothing."""

from __future__ import annotations

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.random import keys


def data(key: jax.Array) -> list[int]:
    return np.asarray(jax.random.key_data(key)).tolist()


def assert_same(ours: jax.Array, theirs: jax.Array) -> None:
    assert (ours.dtype, ours.shape, ours.committed) == (
        theirs.dtype,
        theirs.shape,
        theirs.committed,
    )
    assert data(ours) == data(theirs)


SEEDS = [0, 1, 42, -1, -(2**31), 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1, -(2**63), 123456789012]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("x64", [False, True])
def test_seeds(seed: int, x64: bool) -> None:
    with jax.enable_x64(x64):
        assert_same(keys.from_seed(seed), jax.random.key(seed))


def test_a_seed_that_is_too_large_raises_as_in_jax() -> None:
    with pytest.raises(OverflowError):
        keys.from_seed(2**64)


@pytest.mark.parametrize("count", [0, 1, 77, 2**31, 2**32 - 1])
def test_the_next_key_is_the_count_folded_in(count: int) -> None:
    number = jax.device_put(np.uint32(count))
    for key in (jax.random.key(5), jax.random.fold_in(jax.random.key(-3), 9)):
        following, incremented = keys.next_key(key, number)
        assert_same(following, jax.random.fold_in(key, number))
        assert incremented.dtype == jnp.uint32
        assert int(incremented) == (count + 1) % 2**32
        assert not incremented.weak_type
        traced, traced_count = jax.jit(keys.next_key)(key, number)
        assert data(traced) == data(following)
        assert int(traced_count) == int(incremented)


def test_other_generators_and_committed_keys() -> None:
    number = jnp.uint32(3)
    for key in (jax.random.key(5, impl="rbg"), jax.device_put(jax.random.key(5), jax.devices()[1])):
        assert_same(keys.next_key(key, number)[0], jax.random.fold_in(key, number))


def test_streams_in_and_out_of_transforms_give_the_keys_of_jax() -> None:
    rngs = nnx.Rngs(3)

    @nnx.jit
    def draw(rngs: nnx.Rngs) -> jax.Array:
        return rngs.params()

    drawn = [rngs.params(), draw(rngs), rngs.params(), draw(rngs), rngs.params()]
    assert [data(key) for key in drawn] == [
        data(jax.random.fold_in(jax.random.key(3), count)) for count in range(5)
    ]


def test_nothing_is_compiled() -> None:
    compiled: list[str] = []

    def listen(event: str, seconds: float, **details: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(str(details.get("fun_name")))

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        rngs = nnx.Rngs(0, params=1, dropout=2)
        for _ in range(3):
            rngs.params(), rngs.dropout(), rngs.other()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []
