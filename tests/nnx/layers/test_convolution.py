"""The forms of a convolution, and of max-pooling, give the same numbers and gradients on every platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nnxtrain import nnx
from nnxtrain.nnx.layers.banded import banded_convolution
from nnxtrain.nnx.layers.convolution import tile_of

CASES = [
    ((9,), 3, (3,), (1,), "SAME", 4),
    ((9,), 3, (5,), (2,), [(2, 1)], 2),
    ((8, 10), 3, (5, 5), (1, 1), "SAME", 4),
    ((8, 11), 2, (3, 3), (2, 2), [(1, 1), (0, 1)], 3),
    ((8, 11), 3, (2, 1), (1, 2), "VALID", 3),
    ((4, 5, 6), 1, (2, 3, 3), (1, 2, 1), [(0, 0), (1, 1), (1, 1)], 2),
]


@pytest.mark.parametrize(("sizes", "channels", "window", "strides", "padding", "tile"), CASES)
def test_a_banded_product_is_the_convolution(sizes, channels, window, strides, padding, tile):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *sizes, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(*window, channels, 4)), jnp.float32)
    n = len(sizes)
    image = (0, n + 1, *range(1, n + 1))
    numbers = lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)
    pads = padding
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(sizes, window, strides, padding)

    @jax.jit
    def answers(x, kernel):
        def plain(x, kernel):
            return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=numbers)

        def banded(x, kernel):
            return banded_convolution(x, kernel, strides, pads, tile)

        found = []
        for form in (plain, banded):
            y, pullback = jax.vjp(form, x, kernel)
            _, forward_mode = jax.jvp(form, (x, kernel), (jnp.cos(x), jnp.sin(kernel)))
            found.append((y, *pullback(jnp.sin(jnp.arange(y.size)).reshape(y.shape)), forward_mode))
        return found

    for expected, mine in zip(*answers(x, kernel)):
        np.testing.assert_allclose(mine, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def narrow():
    return nnx.Conv(3, 6, (5, 5), rngs=nnx.Rngs(0)), jnp.ones((2, 8, 8, 3))


def lowered(fun, *args, platform):
    traced = jax.jit(fun).trace(*args)
    return traced.lower(lowering_platforms=(platform,)).as_text()


def test_a_layer_is_a_product_on_a_cpu_and_a_convolution_elsewhere():
    conv, x = narrow()

    def loss(conv, x):
        return (conv(x) ** 2).sum()

    for fun in (loss, jax.grad(loss, (0, 1))):
        on_cpu, on_gpu = (lowered(fun, conv, x, platform=p) for p in ("cpu", "cuda"))
        assert "stablehlo.convolution" not in on_cpu
        assert "dot_general" in on_cpu
        assert "stablehlo.convolution" in on_gpu
        assert "dot_general" not in on_gpu


@pytest.mark.parametrize(
    ("channels", "window", "strides", "dtype", "tile"),
    [
        (3, (5, 5), (1, 1), jnp.float32, 4),
        (3, (3, 3), (1, 1), jnp.float32, 2),
        (8, (3, 3, 3), (1, 1, 1), jnp.float32, 4),
        (6, (5, 5), (1, 1), jnp.float32, 4),
        (8, (3, 3), (1, 1), jnp.float32, None),
        (3, (4, 4), (4, 4), jnp.float32, None),
        (3, (1, 1), (1, 1), jnp.float32, None),
        (3, (3, 3), (1, 1), jnp.bfloat16, None),
    ],
)
def test_which_form(channels, window, strides, dtype, tile):
    x = jnp.ones((1, *[8] * len(window), channels), dtype)
    assert tile_of(x, jnp.ones((*window, channels, 4), dtype), strides) == tile


@pytest.mark.parametrize(
    ("window", "padding"), [((2, 2), "VALID"), ((2, 3), "SAME"), ((3, 2), ((1, 1), (0, 1)))]
)
@pytest.mark.parametrize("kind", ["max", "min"])
def test_pooling_side_by_side_is_pooling_by_windows(window, padding, kind):
    init, reduce_fn = (-np.inf, lax.max) if kind == "max" else (np.inf, lax.min)
    pooled = {"max": nnx.max_pool, "min": nnx.min_pool}[kind]
    x = np.random.default_rng(0).integers(0, 3, (2, 7, 9, 3)).astype(np.float32)  # many are equal
    x[0, 3, 3, 0] = np.nan

    @jax.jit
    def answers(x):
        found = []
        for form in (
            lambda x: nnx.pool(x, init, reduce_fn, window, window, padding),
            lambda x: pooled(x, window, window, padding),
        ):
            y, pullback = jax.vjp(form, x)
            found.append((y, *pullback(jnp.sin(jnp.arange(y.size)).reshape(y.shape))))
        return found

    by_windows, side_by_side = answers(x)
    np.testing.assert_array_equal(side_by_side[0], by_windows[0])
    clean = ~np.isnan(x).any((1, 2, 3))  # whose gradient NaN gets is not said
    np.testing.assert_array_equal(side_by_side[1][clean], by_windows[1][clean])


def test_pooling_takes_derivatives_forward_and_in_a_batch():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    _, moved = jax.jvp(lambda x: nnx.max_pool(x, (2, 2), (2, 2)), (x,), (10 * x,))
    assert moved.ravel().tolist() == [50, 70, 130, 150]
    assert jax.vmap(lambda x: nnx.max_pool(x, (2, 2), (2, 2)))(x[None]).shape == (1, 1, 2, 2, 1)
