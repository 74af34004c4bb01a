"""nnx.Stacked against the same layers in a Python loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Block(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(4, rngs=rngs)
        self.linear = nnx.Linear(4, 4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, scale, *, shift=0.0):
        return x + self.dropout(jnp.tanh(self.linear(self.norm(x)))) * scale + shift


X = jax.random.normal(jax.random.key(3), (5, 4))


@pytest.mark.parametrize("options", [{}, {"remat": True}, {"unroll": 3}])
def test_it_runs_its_layers_in_order(options):
    stack = nnx.Stacked(Block, 3, rngs=nnx.Rngs(0), **options)
    layers = list(stack)
    got = stack(X, 0.5, shift=0.1)
    want = X
    for layer in layers:
        want = layer(want, 0.5, shift=0.1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(stack.layers.dropout.rngs.count.value, [1, 1, 1])


def test_layers_differ_and_drop_differently():
    stack = nnx.Stacked(Block, 3, rngs=nnx.Rngs(0))
    kernels = stack.layers.linear.kernel.value
    assert not np.array_equal(kernels[0], kernels[1])
    keys = jax.random.key_data(stack.layers.dropout.rngs.key.value)
    assert len(np.unique(np.asarray(keys), axis=0)) == 3


@pytest.mark.parametrize("remat", [False, True])
def test_gradients_equal_the_loops(remat):
    stack = nnx.Stacked(Block, 3, remat=remat, rngs=nnx.Rngs(0))
    stack.eval()
    layers = nnx.List(stack)
    grads = nnx.jit(nnx.grad(lambda m: (m(X, 1.0) ** 2).sum()))(stack)

    def loop(layers):
        x = X
        for layer in layers:
            x = layer(x, 1.0)
        return (x**2).sum()

    want = nnx.grad(loop)(layers)
    for i in range(3):
        jax.tree.map(
            lambda g, w, i=i: np.testing.assert_allclose(g[i], w, rtol=1e-4, atol=1e-5),
            grads["layers"],
            want[i],
        )


def test_the_program_does_not_grow_with_depth():
    def size(length):
        stack = nnx.Stacked(Block, length, rngs=nnx.Rngs(0))
        return len(str(nnx.make_jaxpr(lambda m: m(X, 1.0))(stack)).splitlines())

    assert size(12) == size(2)


def test_a_copy_of_a_layer_is_its_own():
    stack = nnx.Stacked(Block, 2, rngs=nnx.Rngs(0))
    before = stack.layers.linear.kernel.value
    stack[1].linear.kernel.value = jnp.zeros((4, 4))
    np.testing.assert_array_equal(stack.layers.linear.kernel.value, before)
    with pytest.raises(IndexError, match="layer 2 of a stack of 2"):
        stack[2]
    with pytest.raises(ValueError, match="at least 1"):
        nnx.Stacked(Block, 0, rngs=nnx.Rngs(0))


def test_it_is_saved_split_and_named_for_sharding():
    stack = nnx.Stacked(
        lambda rngs: nnx.Linear(4, 4, kernel_metadata={"out_sharding": (None, "model")}, rngs=rngs),
        2,
        transform_metadata={nnx.PARTITION_NAME: "layers"},
        rngs=nnx.Rngs(0),
    )
    assert stack.layers.kernel.out_sharding == ("layers", None, "model")
    again = nnx.merge(*nnx.split(stack))
    np.testing.assert_array_equal(again(X), stack(X))
