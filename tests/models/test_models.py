import jax
import jax.numpy as jnp
import pytest

from nnxtrain import nnx
from nnxtrain.models import MLP, LeNet, LinearRegression


def test_lenet_has_the_parameters_of_lenet_5():
    model = LeNet(10, input_shape=(32, 32, 1), rngs=nnx.Rngs(0))
    shapes = {
        ".".join(map(str, p)): v.shape for p, v in nnx.to_flat_state(nnx.state(model, nnx.Param))
    }
    assert shapes["convs.0.kernel"] == (5, 5, 1, 6)
    assert shapes["convs.1.kernel"] == (5, 5, 6, 16)
    assert [shapes[f"linears.{i}.kernel"] for i in range(3)] == [(1024, 120), (120, 84), (84, 10)]


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (33, 47, 3)])
def test_models_take_images_of_any_size(shape):
    for kind in (LeNet, MLP):
        model = nnx.eval_shape(lambda kind=kind: kind(4, input_shape=shape, rngs=nnx.Rngs(0)))
        assert nnx.eval_shape(model, jnp.ones((2, *shape))).shape == (2, 4)


def test_images_too_small_for_the_poolings_are_refused():
    with pytest.raises(ValueError, match="at least 4x4; these are 3x32"):
        LeNet(4, input_shape=(3, 32, 1), rngs=nnx.Rngs(0))


def test_the_mlp_drops_only_in_training():
    model = MLP(3, input_shape=(8,), hidden=[64], dropout_rate=0.5, rngs=nnx.Rngs(0))
    x = jnp.ones((1, 8))
    assert (model(x) != model(x)).any()
    model.eval()
    assert (model(x) == model(x)).all()


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda **at: LeNet(3, input_shape=(8, 8, 1), **at), (8, 8, 1)),
        (lambda **at: MLP(3, input_shape=(4,), **at), (4,)),
        (lambda **at: LinearRegression(4, **at), (4,)),
    ],
    ids=["lenet", "mlp", "linear_regression"],
)
def test_bfloat16_computes_so_and_keeps_float32(build, shape):
    model = nnx.eval_shape(lambda: build(dtype="bfloat16", rngs=nnx.Rngs(0)))
    assert nnx.eval_shape(model, jnp.ones((2, *shape))).dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model, nnx.Param))} == {jnp.dtype("float32")}
