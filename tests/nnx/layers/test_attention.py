"""Attention: the function against NumPy, decoding against one causal call, and what goes wrong. (Parity: test_parity.)"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.layers import kv_cache

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def by_hand(query, key, value, bias=None, mask=None):
    """Attention of each query in a loop; float64 [*batch, length, heads, depth]."""
    query, key, value = (np.asarray(a, np.float64) for a in (query, key, value))
    *batch, length, heads, depth = query.shape
    full = (*batch, heads, length, key.shape[-3])
    bias = np.broadcast_to(0.0 if bias is None else bias, full)
    mask = np.broadcast_to(True if mask is None else mask, full).astype(bool)
    out = np.zeros((*batch, length, heads, value.shape[-1]))
    for *b, h, i in itertools.product(*map(range, (*batch, heads, length))):
        b = tuple(b)
        shared = h // (heads // key.shape[-2])
        logits = key[(*b, slice(None), shared)] @ query[(*b, i, h)] / np.sqrt(depth)
        logits = np.where(mask[(*b, h, i)], logits + bias[(*b, h, i)], -np.inf)
        weights = np.exp(logits - logits.max())
        out[(*b, i, h)] = weights / weights.sum() @ value[(*b, slice(None), shared)]
    return out


@pytest.mark.parametrize(
    ("batch", "kv_heads"), [((), 4), ((2,), 2), ((2, 1, 2), 1), ((2, 1, 2), 4)]
)
def test_attention_is_a_softmax_of_products(batch, kv_heads):
    q, k, v = (
        normal(*batch, 3, 4, 5),
        normal(*batch, 6, kv_heads, 5),
        normal(*batch, 6, kv_heads, 2),
    )
    bias = normal(*batch, 4, 3, 6)
    mask = RNG.random((*batch, 1, 3, 6)) < 0.7
    mask[..., 0] = True
    out = nnx.dot_product_attention(q, k, v, bias, mask)
    np.testing.assert_allclose(out, by_hand(q, k, v, bias, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("batch", "length", "kv_heads"), [((), 1, 4), ((2,), 16, 2), ((2, 1), 37, 1), ((1,), 70, 4)]
)
def test_causal_attention_in_parts_is_that_of_all_keys_and_so_is_its_gradient(
    batch, length, kv_heads
):
    q, k = normal(*batch, length, 4, 5), normal(*batch, length, kv_heads, 5)
    v, cotangent = normal(*batch, length, kv_heads, 2), normal(*batch, length, 4, 2)
    causal = np.tri(length, dtype=bool)

    def value(q, k, v):
        return (nnx.dot_product_attention(q, k, v, is_causal=True) * cotangent).sum()

    def by_formula(q, k, v):
        k, v = (jnp.repeat(a, 4 // kv_heads, axis=-2) for a in (k, v))
        logits = jnp.einsum("...qhd,...khd->...hqk", q, k) / 5**0.5
        weights = jax.nn.softmax(jnp.where(causal, logits, -jnp.inf))
        return (jnp.einsum("...hqk,...khd->...qhd", weights, v) * cotangent).sum()

    out = nnx.dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(out, by_hand(q, k, v, mask=causal), rtol=1e-5, atol=1e-5)
    for got, expected in zip(
        jax.jit(jax.grad(value, (0, 1, 2)))(q, k, v), jax.grad(by_formula, (0, 1, 2))(q, k, v)
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_causal_attention_of_any_length_can_be_exported():
    q = normal(2, 24, 2, 4)

    @jax.jit
    def attend(q):
        return nnx.dot_product_attention(q, q, q, is_causal=True)

    batch, length = jax.export.symbolic_shape("batch, length")
    for shape in ((batch, 24, 2, 4), (batch, length, 2, 4)):
        given = jax.ShapeDtypeStruct(shape, q.dtype)
        exported = jax.export.export(attend, platforms=("cpu", "cuda"))(given)
        np.testing.assert_allclose(exported.call(q), attend(q), rtol=1e-5, atol=1e-6)


def test_causal_attention_of_large_logits_and_of_half_precision_is_finite_and_right():
    q, k, v = (normal(1, 20, 2, 4) for _ in range(3))
    large = nnx.dot_product_attention(300 * q, 300 * k, v, is_causal=True)
    np.testing.assert_allclose(
        large, by_hand(300 * q, 300 * k, v, mask=np.tri(20)), rtol=1e-3, atol=1e-3
    )
    half = [a.astype(jnp.bfloat16) for a in (q, k, v)]
    out = nnx.dot_product_attention(*half, is_causal=True)
    assert out.dtype == jnp.bfloat16
    expected = by_hand(*half, mask=np.tri(20))
    np.testing.assert_allclose(out.astype(jnp.float32), expected, rtol=0.03, atol=0.03)


def test_causal_attention_looks_back_only_and_adds_to_the_mask():
    q, k, v = normal(2, 5, 2, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3)
    padding = jnp.array([1, 1, 1, 0, 0], bool)[None, None, None]
    out = nnx.dot_product_attention(q, k, v, mask=padding, is_causal=True)
    np.testing.assert_allclose(
        out, by_hand(q, k, v, mask=np.tri(5, dtype=bool) & padding), rtol=1e-5, atol=1e-5
    )


def test_a_query_that_sees_nothing_stays_finite():
    q, k, v = normal(1, 2, 1, 3), normal(1, 4, 1, 3), normal(1, 4, 1, 3)
    mask = jnp.zeros((1, 1, 2, 4))
    out, grads = jax.value_and_grad(lambda q: nnx.dot_product_attention(q, k, v, mask=mask).sum())(
        q
    )
    np.testing.assert_allclose(out, 2 * np.asarray(v).mean(1).sum(), rtol=1e-5)
    assert np.isfinite(grads).all()


@pytest.mark.parametrize("broadcast", [True, False])
def test_dropout_drops_weights(broadcast):
    q, k, v = jnp.zeros((8, 5, 4, 1)), jnp.zeros((8, 50, 4, 1)), jnp.ones((8, 50, 4, 1))
    out = nnx.dot_product_attention(
        q, k, v, dropout_rng=jax.random.key(0), dropout_rate=0.5, broadcast_dropout=broadcast
    )
    assert abs(float(out.mean()) - 1) < 0.1
    assert bool((out == out[:1, :, :1]).all()) is broadcast
    same = nnx.dot_product_attention(q, k, v, dropout_rate=0.5, deterministic=True)
    np.testing.assert_allclose(same, 1, rtol=1e-6)
    with pytest.raises(ValueError, match="no key for its dropout"):
        nnx.dot_product_attention(q, k, v, dropout_rate=0.5)


def test_half_precision_is_close_to_single():
    q, k, v = (normal(2, 16, 2, 8).astype(jnp.bfloat16) for _ in range(3))
    half = nnx.dot_product_attention(q, k, v)
    assert half.dtype == jnp.bfloat16
    q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
    np.testing.assert_allclose(
        half.astype(jnp.float32), nnx.dot_product_attention(q, k, v), atol=0.02
    )


def test_masks():
    tokens = jnp.array([[1, 1, 0], [1, 1, 1]])
    padding = nnx.make_attention_mask(tokens > 0, tokens > 0, dtype=bool)
    causal = nnx.make_causal_mask(tokens)
    assert padding.shape == causal.shape == (2, 1, 3, 3)
    assert (causal.dtype, padding.dtype) == (jnp.float32, jnp.dtype(bool))
    both = nnx.combine_masks(padding, None, causal)
    np.testing.assert_array_equal(both[0, 0], [[1, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert nnx.combine_masks(None, None) is None
    assert nnx.make_causal_mask(tokens, extra_batch_dims=2).shape == (1, 1, 2, 1, 3, 3)
    assert nnx.make_attention_mask(tokens, tokens[:, :2], jnp.equal, 1).shape == (1, 2, 1, 3, 2)
    with pytest.raises(ValueError, match=r"same number of axes; it got \[3\], \[1, 3\]"):
        nnx.combine_masks(jnp.ones(3), jnp.ones((1, 3)))


# -- decoding -------------------------------------------------------------------------------------------------------


def attention(**options):
    return nnx.MultiHeadAttention(
        4, 8, qkv_features=16, num_kv_heads=2, normalize_qk=True, rngs=nnx.Rngs(0), **options
    )


@nnx.jit
def decode(layer, x, mask=None):
    return layer(x, decode=True, is_causal=True, mask=mask)


@nnx.jit
def causal(layer, x, mask=None):
    return layer(x, decode=False, is_causal=True, mask=mask)


@pytest.mark.parametrize(
    ("parts", "compiled"), [((1,) * 6, True), ((2, 3, 1), True), ((2, 2, 2), False)]
)
def test_decoding_gives_the_causal_outputs(parts, compiled):
    layer, x = attention(), normal(2, 6, 8)
    layer.init_cache(x.shape)
    step = decode if compiled else decode.__wrapped__
    ends = np.cumsum(parts)
    outputs = [step(layer, x[:, end - n : end]) for n, end in zip(parts, ends)]
    expected = causal(layer, x)
    np.testing.assert_allclose(jnp.concatenate(outputs, 1), expected, rtol=1e-5, atol=1e-5)
    assert int(layer.cache_index.value) == 6
    assert set(nnx.state(layer, nnx.Cache)) == {"cached_key", "cached_value", "cache_index"}


def test_masks_when_decoding():
    index, length, full = jnp.array(1), 2, 4
    causal = np.tri(full, dtype=bool)
    padding = np.array([0, 1, 1, 1], bool)[None, None, None]
    expected = (padding & causal)[..., 1:3, :]
    for mask in (
        padding,  # of the cache
        padding & causal,  # of the whole sequence
        expected,  # of the rows of the new positions
    ):
        found = kv_cache.decoding_mask(jnp.asarray(mask), index, length, full)
        np.testing.assert_array_equal(jnp.broadcast_to(found, expected.shape), expected)
    prompt = jnp.array([[1, 0], [0, 1]])  # among the new positions alone; what came before is seen
    found = kv_cache.decoding_mask(prompt, index, length, full)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0], [1, 0, 1, 0]])
    with pytest.raises(ValueError, match=r"for a cache of 4; it got \[2, 1, 1, 3\]"):
        kv_cache.decoding_mask(jnp.ones((2, 1, 1, 3)), index, length, full)


def test_padding_when_decoding():
    layer, x = attention(), normal(2, 4, 8)
    padding = jnp.array([[0, 1, 1, 1], [1, 1, 1, 1]], bool)[:, None, None]  # on the left
    layer.init_cache(x.shape)
    outputs = [decode(layer, x[:, i : i + n], padding) for i, n in ((0, 1), (1, 3))]
    np.testing.assert_allclose(
        jnp.concatenate(outputs, 1)[:, 1:], causal(layer, x, padding)[:, 1:], rtol=1e-5, atol=1e-5
    )


def test_a_scan_may_decode():
    layer, x = attention(decode=True), normal(2, 6, 8)
    layer.init_cache(x.shape)
    loop = nnx.scan(
        lambda layer, x: layer(x[:, None])[:, 0],
        in_axes=(nnx.StateAxes({nnx.Cache: nnx.Carry, ...: None}), 1),
        out_axes=1,
    )
    out = nnx.jit(loop)(layer, x)
    np.testing.assert_allclose(out, causal(layer, x), rtol=1e-5, atol=1e-5)


def test_a_full_cache():
    layer, x = attention(decode=True), normal(2, 3, 8)
    layer.init_cache(x.shape)
    layer(x)
    with pytest.raises(
        ValueError, match=r"cache is full: .* holds 3 of 3 positions, and 1 more came"
    ):
        nnx.Sequential(layer)(x[:, :1])
    assert np.isnan(decode(layer, x[:, :1])).all()  # a compiled function cannot raise
    layer.init_cache(x.shape, jnp.bfloat16)
    assert layer.cached_key.value.dtype == jnp.bfloat16
    assert np.isfinite(decode(layer, x)).all()


def test_set_view_makes_a_cache():
    layer = attention(dtype=jnp.bfloat16)
    layer.set_view(deterministic=True, decode=True)
    assert layer.deterministic
    assert layer.decode
    assert layer.cached_key is None
    layer.set_view(batch_size=2, max_length=5)
    assert layer.cached_key.value.shape == (2, 5, 2, 4)
    assert layer.cached_value.value.dtype == jnp.bfloat16
    with pytest.raises(TypeError, match="batch_size and max_length"):
        layer.set_view(batch_size=2)


# -- the layer ------------------------------------------------------------------------------------------------------


def test_dropout_of_the_layer():
    layer, x = attention(dropout_rate=0.5), normal(2, 5, 8)
    with pytest.raises(ValueError, match=r"model.train\(\) or model.eval\(\)"):
        layer(x)
    layer.train()
    assert not np.allclose(layer(x), layer(x))
    layer.eval()
    np.testing.assert_array_equal(layer(x), layer(x))
    once, again = (layer(x, deterministic=False, rngs=nnx.Rngs(dropout=3)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    bare = attention(dropout_rate=0.5, keep_rngs=False, deterministic=False)
    with pytest.raises(ValueError, match="no random stream for its dropout"):
        bare(x)
    assert bare(x, rngs=jax.random.key(0)).shape == x.shape
    assert nnx.state(bare, nnx.RngState) == {}


def test_weights_are_sown():
    layer, x = attention(), normal(2, 5, 8)
    layer(x, sow_weights=True)
    (weights,) = nnx.pop(layer, nnx.Intermediate)["attention_weights"].value
    assert weights.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_another_attention_function():
    seen = {}

    def mean_of_values(query, key, value, **options):
        seen.update(options)
        return jnp.broadcast_to(value.mean(-3, keepdims=True).repeat(2, -2), query.shape)

    layer = attention(attention_fn=mean_of_values)
    assert layer(normal(2, 5, 8)).shape == (2, 5, 8)
    assert {"mask", "dropout_rng", "deterministic", "is_causal", "precision"} <= set(seen)


def test_metadata_and_initialisers():
    layer = nnx.MultiHeadAttention(
        2,
        4,
        kernel_init=nnx.initializers.ones,
        out_kernel_init=nnx.initializers.zeros,
        kernel_metadata={"axes": "in"},
        out_bias_metadata={"axes": "out"},
        normalize_qk=True,
        key_ln_scale_metadata={"axes": "depth"},
        rngs=nnx.Rngs(0),
    )
    assert (layer.query.kernel.value == 1).all()
    assert (layer.out.kernel.value == 0).all()
    assert layer.value.kernel.axes == layer.out.kernel.axes == "in"
    assert layer.out.bias.axes == "out"
    assert layer.key_ln.scale.axes == "depth"
    assert not layer.query.bias.has_metadata("axes")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: attention(out_features=3)(normal(2, 5, 7)),
            r"takes inputs_q .* 8\]; it got \[2, 5, 7\]",
        ),
        (
            lambda: attention(in_kv_features=3)(normal(2, 5, 8)),
            r"takes inputs_k .* 3\]; it got \[2, 5, 8\]",
        ),
        (
            lambda: attention()(normal(2, 5, 8), inputs_v=normal(2, 5, 8)),
            "inputs_v without inputs_k",
        ),
        (lambda: attention()(normal(2, 5, 8), decode=True), r"no cache .* call init_cache"),
        (
            lambda: attention().init_cache((8,)),
            r"takes \(\*batch, max_length, features\); it got \(8,\)",
        ),
        (lambda: nnx.MultiHeadAttention(3, 8, rngs=nnx.Rngs(0)), "qkv_features=8, num_heads=3"),
        (
            lambda: nnx.MultiHeadAttention(4, 8, num_kv_heads=3, rngs=nnx.Rngs(0)),
            "num_heads=4, num_kv_heads=3",
        ),
        (lambda: attention(dropout_rate=2.0), r"dropout_rate is a probability, 0 to 1; it got 2.0"),
        (
            lambda: nnx.dot_product_attention(normal(5, 3, 2), normal(4, 2, 2), normal(4, 2, 2)),
            r"heads divides; it got query \[5, 3, 2\]",
        ),
        (
            lambda: nnx.dot_product_attention(normal(5, 2, 2), normal(4, 2, 2), normal(3, 2, 2)),
            "the same length and heads in key and value",
        ),
        (
            lambda: nnx.dot_product_attention(normal(5, 2, 2), normal(4, 2, 3), normal(4, 2, 3)),
            "the same depth",
        ),
    ],
)
def test_wrong_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_a_cache_of_another_batch_is_named():
    layer = attention(decode=True)
    layer.init_cache((2, 4, 8))
    with pytest.raises(
        ValueError, match=r"decodes \[2, length, features\].* it got queries \[3, 1\]"
    ):
        layer(normal(3, 1, 8))
    with pytest.raises(ValueError, match="queries and keys of one length"):
        layer(normal(2, 1, 8), normal(2, 2, 8))
