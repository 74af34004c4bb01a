"""The language model against NumPy, its causality, its cache and its sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.config import compose, resolve
from nnxtrain.models import TransformerLM
from nnxtrain.models.rotary import rotary

SIZES = {"vocab_size": 11, "max_length": 9, "num_layers": 2, "width": 16, "num_heads": 4}
GPT2 = {}
LLAMA = {
    "positions": "rotary",
    "norm": "rms",
    "mlp": "swiglu",
    "use_bias": False,
    "num_kv_heads": 2,
    "tied_embeddings": False,
}
TOKENS = np.random.default_rng(0).integers(0, 11, (2, 9)).astype(np.int32)


apply = nnx.jit(
    lambda model, tokens, decode: model(tokens, decode=decode), static_argnames="decode"
)


def logits_of(model, tokens, decode=False):
    return apply(model, jnp.asarray(tokens), decode)


def build(**options):
    return TransformerLM(**SIZES | {"init_std": 0.3} | options, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module", params=[GPT2, LLAMA], ids=["gpt2", "llama"])
def model(request):
    model = build(**request.param)
    key = jax.random.key(1)
    for i, leaf in enumerate(jax.tree.leaves(nnx.state(model, nnx.Param), is_leaf=is_variable)):
        if leaf.ndim == 1:  # scales and biases that do something
            leaf.value += 0.3 * jax.random.normal(jax.random.fold_in(key, i), leaf.shape)
    return model


def is_variable(leaf):
    return isinstance(leaf, nnx.Variable)


def numpy_logits(model, tokens):
    """GPT-2's and LLaMA's formulas, straight from the papers, for one sequence."""
    get = np.asarray

    def norm(layer, x):
        if isinstance(layer, nnx.RMSNorm):
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * get(layer.scale)
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * get(layer.scale) + get(layer.bias)

    def dense(layer, x, axes=1):
        y = np.tensordot(x, get(layer.kernel), axes)
        return y if layer.bias is None else y + get(layer.bias)

    def turned(x):  # one head: pairs as complex numbers
        half = x.shape[-1] // 2
        angles = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(half) / half)
        z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles)
        return np.concatenate([z.real, z.imag], -1)

    def attention(layer, x):
        q, k, v = dense(layer.query, x), dense(layer.key, x), dense(layer.value, x)
        heads = []
        for h in range(q.shape[1]):
            kv = h * k.shape[1] // q.shape[1]
            qh, kh = q[:, h], k[:, kv]
            if model.positions is None:
                qh, kh = turned(qh), turned(kh)
            scores = qh @ kh.T / np.sqrt(q.shape[-1])
            scores[np.triu_indices(len(x), 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, kv])
        return dense(layer.out, np.stack(heads, 1), 2)

    def mlp(layer, x):
        up = dense(layer.up, x)
        if layer.gate is None:
            return dense(
                layer.down,
                up * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3))),
            )
        gate = dense(layer.gate, x)
        return dense(layer.down, gate / (1 + np.exp(-gate)) * up)

    x = get(model.tokens.embedding)[tokens].astype(np.float64)
    if model.positions is not None:
        x = x + get(model.positions.embedding)[: len(tokens)]
    for block in model.blocks:
        x = x + attention(block.attention, norm(block.attention_norm, x))
        x = x + mlp(block.mlp, norm(block.mlp_norm, x))
    matrix = model.tokens.embedding.value.T if model.head is None else model.head.kernel
    return norm(model.norm, x) @ get(matrix)


def test_logits_equal_numpys(model):
    logits = logits_of(model, TOKENS)
    assert logits.shape == (2, 9, 11)
    assert logits.dtype == jnp.float32
    for row, tokens in zip(logits, TOKENS):
        np.testing.assert_allclose(row, numpy_logits(model, tokens), rtol=2e-4, atol=2e-4)


def test_a_later_token_never_changes_earlier_logits(model):
    logits = logits_of(model, TOKENS)
    for place in (1, 5, 8):
        changed = TOKENS.copy()
        changed[:, place] = (changed[:, place] + 1) % 11
        others = logits_of(model, changed)
        np.testing.assert_array_equal(others[:, :place], logits[:, :place])
        assert (others[:, place:] != logits[:, place:]).any(-1).all()


@pytest.mark.parametrize("pieces", [[4, 1, 1, 1, 1, 1], [1, 4, 4]], ids=str)
def test_decoding_equals_one_call(model, pieces):
    view = nnx.clone(model, variables=False)
    view.init_cache(batch_size=2)
    parts, start = [], 0
    for size in pieces:
        parts.append(logits_of(view, TOKENS[:, start : start + size], decode=True))
        start += size
    expected = logits_of(model, TOKENS)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, rtol=1e-5, atol=1e-5)
    assert jnp.isnan(logits_of(view, TOKENS[:, :1], decode=True)).all(), "the cache is full"


def test_decoding_needs_a_cache_that_fits():
    model = build(num_layers=1)
    with pytest.raises(ValueError, match="has no cache to decode with"):
        model(jnp.zeros((2, 1), jnp.int32), decode=True)
    with pytest.raises(
        ValueError, match="a cache of 10 positions, and the model's max_length is 9"
    ):
        model.init_cache(2, 10)
    with pytest.raises(ValueError, match="10 tokens, and the model's max_length is 9"):
        model(jnp.zeros((2, 10), jnp.int32))


def test_rotary_products_depend_on_the_distance_alone():
    q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 8)).astype(np.float32)

    def product(at, to):
        return (rotary(q, jnp.array([at])) * rotary(k, jnp.array([to]))).sum()

    np.testing.assert_allclose(product(3, 1), product(103, 101), rtol=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3


def test_recomputing_changes_no_gradient():
    def gradients(**options):
        model = build(num_layers=1, **options)
        loss = nnx.jit(nnx.grad(lambda model: jnp.square(model(jnp.asarray(TOKENS))).mean()))
        return nnx.to_pure_dict(loss(model))

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        gradients(remat=True),
        gradients(),
    )


def test_compute_in_bfloat16():
    rounded = build(dtype=jnp.bfloat16, num_layers=1)
    exact, logits = logits_of(build(num_layers=1), TOKENS), logits_of(rounded, TOKENS)
    assert logits.dtype == jnp.float32
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(nnx.state(rounded, nnx.Param)))
    assert 0 < jnp.abs(logits - exact).max() < 0.05 * jnp.abs(exact).max()


def test_dropout_in_training_only():
    model = build(dropout_rate=0.5, num_layers=1)
    model.train()
    assert (logits_of(model, TOKENS) != logits_of(model, TOKENS)).any()
    model.eval()
    np.testing.assert_array_equal(logits_of(model, TOKENS), logits_of(model, TOKENS))


def test_initial_deviations():
    """Those that end a half of a block are smaller by sqrt(2 * num_layers)."""
    model = build(width=128, num_layers=8, init_std=0.02)
    block = model.blocks[3]
    for kernel, std in (
        (block.attention.query.kernel, 0.02),
        (block.mlp.up.kernel, 0.02),
        (block.attention.out.kernel, 0.02 / 4),
        (block.mlp.down.kernel, 0.02 / 4),
    ):
        assert np.std(kernel) == pytest.approx(std, rel=0.05)


def parameters(option, **runtime):
    node = compose([f"model={option}"]).model
    model = nnx.eval_shape(lambda: resolve(node, rngs=nnx.Rngs(0), **runtime))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_gpt2_has_gpt2s_parameters():
    assert parameters("gpt2_small", vocab_size=50257) == 124_439_808


def test_the_small_ones_by_hand():
    def count(layers, width, vocab):
        return vocab * width + layers * (12 * width**2 + 2 * width) + width

    tiny = parameters("transformer_tiny", vocab_size=65, input_shape=(64,))
    assert tiny == count(4, 128, 65)
    assert parameters("transformer_small", vocab_size=256) == count(6, 256, 256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "sine"}, "positions is learned or rotary; it got 'sine'"),
        ({"mlp": "relu"}, "mlp is gelu or swiglu"),
        ({"norm": "batch"}, "norm is layer or rms"),
        ({"width": 12, "positions": "rotary"}, "heads of an even size; width=12 and num_heads=4"),
        ({"input_shape": (12,)}, "sequences have 12 tokens, and max_length is 9"),
        (
            {"input_shape": (8, 8, 3)},
            r"wants sequences of tokens; the data's examples are \[8, 8, 3\]",
        ),
        ({"max_length": None}, "give max_length"),
        ({"num_heads": 3}, "num_heads must divide"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
