import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.config import resolve
from nnxtrain.errors import InputError

LAYER = "nnxtrain.nnx."
RELU = "nnxtrain.nnx.relu"
FLATTEN = "nnxtrain.models.flatten"


def layer(name, **arguments):
    return {"_target_": LAYER + name, **arguments}


def linear(out_features, **arguments):
    return layer("Linear", out_features=out_features, **arguments)


def residual(*layers):
    return {"_target_": "nnxtrain.models.Residual", "layers": list(layers)}


def build(*layers, **runtime):
    node = {"_target_": "nnxtrain.models.Layers", "layers": list(layers)}
    runtime = {"input_shape": (6, 6, 2), "num_classes": 3, **runtime}
    return nnx.eval_shape(lambda: resolve(node, rngs=nnx.Rngs(0), **runtime))


def shapes(model):
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): value.shape for path, value in state}


def test_input_sizes_follow_from_the_layer_before():
    model = build(
        layer("Conv", out_features=4, kernel_size=[3, 3], strides=2),
        "nnxtrain.nnx.BatchNorm",
        RELU,
        layer("max_pool", window_shape=[2, 2], padding="SAME"),
        FLATTEN,
        linear(5, use_bias=False),
        layer("LayerNorm", use_bias=False),
        {"_target_": "jax.nn.leaky_relu", "negative_slope": 0.1},
        linear("num_classes"),
    )
    assert shapes(model) == {
        "layers.0.kernel": (3, 3, 2, 4),
        "layers.0.bias": (4,),
        "layers.1.scale": (4,),
        "layers.1.bias": (4,),
        "layers.5.kernel": (36, 5),
        "layers.6.scale": (5,),
        "layers.8.kernel": (5, 3),
        "layers.8.bias": (3,),
    }


def test_nested_nodes_get_the_size_too():
    model = build(
        layer("Embed", num_embeddings="vocab_size", features=5),
        layer("RNN", cell=layer("GRUCell", hidden_features=4)),
        layer("MultiHeadAttention", num_heads=2),
        "nnxtrain.models.last_step",
        linear("num_targets"),
        input_shape=(7,),
        vocab_size=11,
        num_targets=2,
    )
    found = shapes(model)
    assert found["layers.0.embedding"] == (11, 5)
    assert found["layers.1.cell.dense_i.kernel"] == (5, 12)
    assert found["layers.2.query.kernel"] == (4, 2, 2)
    assert found["layers.4.kernel"] == (4, 2)
    tokens = jnp.zeros((2, 7), jnp.int32)
    assert nnx.eval_shape(model, tokens).shape == (2, 2)


def test_the_numbers_are_those_of_the_layers():
    node = {
        "_target_": "nnxtrain.models.Layers",
        "layers": [
            residual(RELU, linear(4)),
            {"_target_": "nnxtrain.models.reshape", "shape": [2, -1]},
            "nnxtrain.models.global_avg_pool",
            linear("num_classes"),
        ],
    }
    model = resolve(node, input_shape=(4,), num_classes=3, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    inner, last = model.layers[0].layers[1], model.layers[3]
    y = x + np.maximum(x, 0) @ inner.kernel + inner.bias
    expected = y.reshape(5, 2, 2).mean(1) @ last.kernel + last.bias.value
    np.testing.assert_allclose(nnx.jit(lambda model, x: model(x))(model, x), expected, atol=1e-6)


def test_modes_reach_the_layers():
    model = build(layer("BatchNorm"), layer("Dropout", rate=0.5), FLATTEN, linear(3))
    model.eval()
    assert model.layers[0].use_running_average
    assert model.layers[1].deterministic


def test_bfloat16_reaches_the_layers():
    model = build(FLATTEN, linear(3), residual(linear(3)), dtype="bfloat16")
    assert nnx.eval_shape(model, jnp.ones((2, 6, 6, 2))).dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model))} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        (
            [FLATTEN, RELU, layer("Conv", out_features=3, kernel_size=[3, 3])],
            r"layers\[2\] \(Conv\) does not take float32\[batch, 72\]: Conv takes .*\[2, 72\]",
        ),
        ([layer("max_pool", window_shape=[2, 2], strides=[2])], r"layers\[0\] \(max_pool\) does not take"),
        (
            [layer("GroupNorm", num_groups=3)],
            r"layers\[0\]: nnxtrain.nnx.GroupNorm could not be built: .*num_groups=3 does not",
        ),
        (
            [layer("RNN", cell=layer("GRUCell", hidden_features=2), return_carry=True)],
            r"layers\[0\] \(RNN\) makes .*; a layer gives one array",
        ),
        (
            [FLATTEN, residual(RELU, linear(3))],
            r"layers\[1\]: Residual adds .*\[batch, 72\] .* \[batch, 3\]: .* one shape",
        ),
        (
            [residual(FLATTEN, layer("Conv", out_features=1, kernel_size=[3, 3]))],
            r"layers\[0\]: layers\[1\] \(Conv\) does not take",
        ),
        ([FLATTEN, linear("vocab_size")], r"layers\[1\]: nnxtrain.nnx.Linear needs vocab_size, and this data has none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_its_place(layers, line):
    with pytest.raises(InputError, match=line) as caught:
        build(*layers)
    assert "\n" not in str(caught.value)
