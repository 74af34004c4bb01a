"""Sequential, and what train() and eval() reach."""

import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


def test_sequential_passes_tuples_and_dicts_on():
    model = nnx.Sequential(
        nnx.Linear(2, 3, rngs=nnx.Rngs(0)),
        lambda x: (x, 2.0),
        lambda x, k: {"x": x, "k": k},
        lambda *, x, k: x * k,
    )
    x = jnp.ones((1, 2))
    np.testing.assert_allclose(model(x), model.layers[0](x) * 2)


def test_train_and_eval_reach_every_layer():
    model = nnx.Sequential(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
    model.eval()
    assert model.layers[0].deterministic
    assert model.layers[1].use_running_average
    model.train()
    assert not model.layers[0].deterministic
    with pytest.raises(ValueError, match="no module of Sequential has the attribute"):
        model.set_attributes(nonsense=1)


def test_a_sequential_without_layers_gives_its_input_back():
    x = jnp.ones(2)
    assert nnx.Sequential()(x) is x
