"""The initialisers give the numbers of jax.nn.initializers, bit for bit, without compiling for each shape."""

from __future__ import annotations

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.random import blocks, initializers

KEY = jax.random.key(7)
AXES = {"in_axis": (0, 1), "out_axis": -1, "batch_axis": (2,)}
MADE = [
    *((name, {}) for name in initializers.__all__ if name.endswith(("_normal", "_uniform"))),
    ("lecun_normal", {"in_axis": 0}),
    ("glorot_uniform", AXES),
    ("he_normal", {"dtype": jnp.bfloat16}),
    ("uniform", {}),
    ("uniform", {"scale": 10, "dtype": jnp.float16}),
    ("normal", {}),
    ("normal", {"stddev": np.float32(0.02)}),
    ("truncated_normal", {"stddev": 0.3, "lower": -1, "upper": 2.5}),
    ("constant", {"value": -7}),
    ("constant", {"value": True}),
    ("constant", {"value": 0.1, "dtype": jnp.bfloat16}),
    ("constant", {"value": np.arange(3.0)}),
    ("orthogonal", {"scale": 2.0}),
    ("delta_orthogonal", {}),
    ("variance_scaling", {"scale": 1.5, "mode": "fan_out", "distribution": "normal"}),
    ("variance_scaling", {"scale": 3, "mode": "fan_geo_avg", "distribution": "uniform"}),
]  # fmt: skip


def pair(name: str, kwargs: dict) -> tuple:
    return getattr(initializers, name)(**kwargs), getattr(jax.nn.initializers, name)(**kwargs)


def assert_same(ours: jax.Array, theirs: jax.Array) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.weak_type == theirs.weak_type
    assert ours.committed == theirs.committed
    assert ours.sharding == theirs.sharding
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "kwargs"), MADE)
def test_the_numbers_are_those_of_jax(name: str, kwargs: dict) -> None:
    ours, theirs = pair(name, kwargs)
    for shape in ((3, 3, 3), (2, 3, 4, 5)) if "delta" not in name else ((3, 3, 3),):
        if name == "constant":
            shape = (*shape[:-1], 3)
        assert_same(ours(KEY, shape), theirs(KEY, shape))
        assert_same(ours(KEY, shape, jnp.float32), theirs(KEY, shape, jnp.float32))


SIZES = [
    ("float32", 1),
    ("float32", blocks.BLOCK - 1),
    ("float32", 2 * blocks.ROW + 77),
    ("bfloat16", blocks.ROW + 1),
    ("float16", blocks.ROW),
]


@pytest.mark.parametrize(("dtype", "size"), SIZES)
@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
def test_arrays_of_one_and_of_many_blocks(name: str, size: int, dtype: str) -> None:
    ours, theirs = pair(name, {})
    assert_same(ours(KEY, (size, 1), dtype), theirs(KEY, (size, 1), dtype))


def test_float64_where_it_is_enabled() -> None:
    with jax.enable_x64(True):
        for name in ("he_normal", "lecun_uniform"):
            ours, theirs = pair(name, {})
            assert_same(ours(KEY, (70, 300), jnp.float64), theirs(KEY, (70, 300), jnp.float64))
            assert ours(KEY, (2, 2)).dtype == jnp.float64
        assert_same(
            initializers.ones(KEY, (2,), jnp.float64),
            jax.nn.initializers.ones(KEY, (2,), jnp.float64),
        )


def test_a_dtype_that_is_not_enabled_is_reported_as_by_jax() -> None:
    for init in (initializers.zeros, initializers.lecun_normal()):
        with pytest.warns(UserWarning, match="float64"):
            assert init(KEY, (2, 2), jnp.float64).dtype == jnp.float32


def test_elements_beyond_2_to_the_32_have_bits_of_their_own() -> None:
    """The place's upper half counts: no array that large fits a test, so the program is asked directly."""
    data = np.asarray(jax.random.key_data(KEY))

    def first(high: int, low: int) -> np.ndarray:
        place = np.array([*data, high, low], np.uint32)
        return np.asarray(blocks._row(np.dtype("float32"), place, 1, 0, 0.0, 1.0))

    k = data.astype(np.uint32)
    expected = jax.extend.random.threefry2x32_p.bind(*k, np.uint32([1]), np.uint32([blocks.ROW]))
    bits = np.asarray(expected[0] ^ expected[1])
    mantissa = ((bits >> 9) | np.float32(1).view(np.uint32)).view(np.float32) - 1
    assert first(1, blocks.ROW)[0] == mantissa[0]
    assert first(0, blocks.ROW)[0] != first(1, blocks.ROW)[0]


@pytest.mark.parametrize(
    "key", [jax.random.PRNGKey(3), jax.random.key(3, impl="rbg"), jax.random.key(3)], ids=str
)
def test_raw_keys_and_other_generators(key: jax.Array) -> None:
    ours, theirs = pair("lecun_normal", {})
    assert_same(ours(key, (4, 5), jnp.float32), theirs(key, (4, 5), jnp.float32))


def test_the_older_threefry_layout() -> None:
    ours, theirs = pair("lecun_normal", {})
    with jax.threefry_partitionable(False):
        assert_same(ours(KEY, (4, 5), jnp.float32), theirs(KEY, (4, 5), jnp.float32))


def test_inside_transforms() -> None:
    ours, theirs = pair("he_uniform", {})
    keys = jax.random.split(KEY, 3)
    for wrap in (jax.jit, jax.vmap):
        argument = keys if wrap is jax.vmap else KEY
        mine = wrap(lambda key: ours(key, (6, 7)))(argument)
        np.testing.assert_array_equal(mine, wrap(lambda key: theirs(key, (6, 7)))(argument))
    abstract = jax.eval_shape(lambda: initializers.ones(KEY, (2, 3), jnp.bfloat16))
    assert (abstract.shape, abstract.dtype) == ((2, 3), jnp.bfloat16)
    np.testing.assert_array_equal(jax.jit(lambda: ours(KEY, (6, 7)))(), theirs(KEY, (6, 7)))


def test_committed_keys_keep_the_result_on_their_device() -> None:
    key = jax.device_put(KEY, jax.devices()[1])
    ours, theirs = pair("lecun_normal", {})
    assert_same(ours(key, (4, 5)), theirs(key, (4, 5)))


def test_the_default_device_is_where_the_result_lies() -> None:
    with jax.default_device(jax.devices()[2]):
        for name in ("zeros", "lecun_normal"):
            init = initializers.zeros if name == "zeros" else initializers.lecun_normal()
            assert init(KEY, (4, 5)).devices() == {jax.devices()[2]}


def test_out_sharding_is_jax_s() -> None:
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharding = jax.NamedSharding(mesh, jax.P("x"))
    for ours, theirs in (pair("normal", {}), (initializers.zeros, jax.nn.initializers.zeros)):
        with jax.set_mesh(mesh):
            mine, reference = (
                ours(KEY, (8,), out_sharding=sharding),
                theirs(KEY, (8,), out_sharding=sharding),
            )
            assert_same(mine, reference)
            assert_same(ours(KEY, (8,)), theirs(KEY, (8,)))
        assert mine.sharding == sharding


def test_errors_are_those_of_jax() -> None:
    for name, kwargs, shape in [
        ("lecun_normal", {}, (3,)),
        ("orthogonal", {}, (3,)),
        ("delta_orthogonal", {}, (3, 3)),
        ("variance_scaling", {"scale": 1, "mode": "fan", "distribution": "normal"}, (3, 3)),
        ("variance_scaling", {"scale": 1, "mode": "fan_in", "distribution": "cauchy"}, (3, 3)),
    ]:
        ours, theirs = pair(name, kwargs)
        messages = []
        for init in (ours, theirs):
            with pytest.raises(ValueError, match=r"initial|fan|input") as error:
                init(KEY, shape)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_every_name_of_jax_is_here_with_its_parameters() -> None:
    for name in dir(jax.nn.initializers):
        if name.startswith("_"):
            continue
        ours, theirs = getattr(initializers, name), getattr(jax.nn.initializers, name)
        assert name in initializers.__all__
        mine, reference = (inspect.signature(f).parameters for f in (ours, theirs))
        assert list(mine) == list(reference), name
        if name not in ("zeros", "ones", "Initializer"):
            defaults = [
                [p.default for p in parameters.values()] for parameters in (mine, reference)
            ]
            assert defaults[0] == defaults[1], name
    assert initializers.zeros_init() is initializers.zeros
    assert initializers.ones_init() is initializers.ones


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        (n, k) for n, k in MADE if not isinstance(k.get("value"), np.ndarray)
    ],  # no yes-or-no equality
)
def test_equal_by_parts_and_picklable(name: str, kwargs: dict) -> None:
    init, again = getattr(initializers, name)(**kwargs), getattr(initializers, name)(**kwargs)
    for other in (again, pickle.loads(pickle.dumps(init))):
        assert other == init
        assert hash(other) == hash(init)
        assert Static(other) == Static(init)
    assert init != initializers.normal(0.123)
    assert isinstance(init, jax.nn.initializers.Initializer)


def test_numbers_of_other_types_are_other_initializers() -> None:
    assert initializers.constant(1) != initializers.constant(True)
    assert initializers.constant(0.0) != initializers.constant(-0.0)


def test_shapes_share_one_program() -> None:
    init = initializers.truncated_normal(0.5)
    init(KEY, (3,), jnp.float32)
    size = blocks._row._cache_size()
    for shape in ((4,), (5, 6), (blocks.ROW + 3,)):
        init(jax.random.key(1), shape, jnp.float32)
        initializers.he_normal()(KEY, (*shape, 2), jnp.float32)
    assert blocks._row._cache_size() == size
