"""The examples that people learn Flax NNX from run here with the import replaced."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx


class CNN(nnx.Module):
    """LeNet-5 for 56x56 RGB images and five classes."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(3, 6, kernel_size=(5, 5), rngs=rngs)
        self.max_pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        self.conv2 = nnx.Conv(6, 16, kernel_size=(5, 5), rngs=rngs)
        self.linear1 = nnx.Linear(3136, 120, rngs=rngs)
        self.linear2 = nnx.Linear(120, 84, rngs=rngs)
        self.linear3 = nnx.Linear(84, 5, rngs=rngs)

    def __call__(self, x):
        x = self.max_pool(nnx.relu(self.conv1(x)))
        x = self.max_pool(nnx.relu(self.conv2(x)))
        x = x.reshape(x.shape[0], -1)
        x = nnx.relu(self.linear1(x))
        x = nnx.relu(self.linear2(x))
        return self.linear3(x)


def test_lenet_is_made_shown_and_called(capsys):
    model = CNN(rngs=nnx.Rngs(0))
    nnx.display(model)
    shown = capsys.readouterr().out
    assert "CNN" in shown
    assert "conv1" in shown
    assert (
        f"{3 * 6 * 25 + 6 + 6 * 16 * 25 + 16 + 3136 * 120 + 120 + 120 * 84 + 84 + 84 * 5 + 5:,}"
        in shown
    )
    assert model(jnp.ones((2, 56, 56, 3))).shape == (2, 5)


def test_random_layer():
    class RandomLayer(nnx.Module):
        def __init__(self, size: int, *, rngs: nnx.Rngs):
            self.random_vector = nnx.Param(jax.random.normal(rngs.params(), (size,)))

        def __call__(self):
            return self.random_vector.value

    assert RandomLayer(3, rngs=nnx.Rngs(0))().shape == (3,)


def test_a_layer_of_ones_own_is_shown_with_counts_and_bytes(capsys):
    class Linear(nnx.Module):
        def __init__(self, din, dout, *, rngs):
            key = rngs.params()
            self.w = nnx.Param(jax.random.uniform(key, (din, dout)))
            self.b = nnx.Param(jnp.zeros((dout,)))
            self.din, self.dout = din, dout

    nnx.display(Linear(2, 5, rngs=nnx.Rngs(params=0)))
    shown = capsys.readouterr().out
    assert "Param: 15 (60 B)" in shown
    assert "float32[2,5]" in shown
    assert "nonzero" in shown


def test_shared_layers_are_one_object():
    model = nnx.Module()
    shared_layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    model.encoder_layer = shared_layer
    model.decoder_layer = shared_layer
    again = nnx.merge(*nnx.split(model))
    assert again.encoder_layer is again.decoder_layer


@pytest.mark.parametrize("compiled", [False, True])
def test_a_dict_attribute_holds_state(compiled):
    class StatefulParameterLayer(nnx.Module):
        def __init__(self, initial_value: float, *, rngs: nnx.Rngs):
            self.weight = nnx.Param(jax.random.uniform(rngs.params()))
            self.bias = {"bias": jnp.array(initial_value)}

        def update_bias(self, new_value: float):
            self.bias["bias"] = jnp.array(new_value)

        def __call__(self, x: jax.Array):
            return x * self.weight.value + self.bias["bias"]

    layer = StatefulParameterLayer(1.5, rngs=nnx.Rngs(0))

    def change(layer):
        layer.update_bias(4.0)
        return layer(jnp.zeros(()))

    out = (nnx.jit(change) if compiled else change)(layer)
    assert float(out) == float(layer(jnp.zeros(()))) == 4.0


def test_the_counter_counts_with_a_variable():
    class Counter(nnx.Module):
        def __init__(self):
            self.count = nnx.Variable(jnp.array(0))

        def __call__(self):
            self.count.value += 1
            return self.count.value

    counter = Counter()
    assert int(counter()) == 1
    graphdef, state = nnx.split(counter)

    @jax.jit
    def count(state):
        counter = nnx.merge(graphdef, state)
        counter()
        return nnx.state(counter)

    state = count(state)
    nnx.update(counter, state)
    assert int(counter()) == 3


def test_an_int_counter_cannot_travel_through_jax_jit_but_through_nnx_jit():
    class Counter(nnx.Module):
        def __init__(self):
            self.count = 0

        def __call__(self):
            self.count += 1
            return self.count

    counter = Counter()
    counter()
    graphdef, state = nnx.split(counter)
    count = jax.jit(lambda state: nnx.state(_called(nnx.merge(graphdef, state))))
    nnx.update(counter, count(state))
    assert counter() == 2  # not 3: the count inside was static
    nnx.jit(lambda counter: counter())(counter)
    assert counter.count == 3


def _called(counter):
    counter()
    return counter


def test_jit_of_a_plain_function():
    w, b, x = jnp.ones((3, 4)), jnp.ones(3), jnp.ones(4)

    def jax_predict(w, b, x):
        return jnp.matmul(w, x) + b

    np.testing.assert_allclose(nnx.jit(jax_predict)(w, b, x).block_until_ready(), np.full(3, 5.0))


def test_shifted_relu_and_a_function_as_attribute():
    class ShiftedReLU(nnx.Module):
        def __init__(self, shift: float):
            self.shift = shift

        def __call__(self, x: jnp.ndarray):
            return nnx.relu(x + self.shift)

    class SimpleClassifier(nnx.Module):
        def __init__(self, input_size: int, num_classes: int, *, rngs: nnx.Rngs):
            self.linear1 = nnx.Linear(input_size, 10, rngs=rngs)
            self.relu = nnx.relu
            self.linear2 = nnx.Linear(10, num_classes, rngs=rngs)

        def __call__(self, x: jnp.ndarray):
            return self.linear2(self.relu(self.linear1(x)))

    np.testing.assert_array_equal(nnx.jit(ShiftedReLU(-1.0))(jnp.array([0.5, 2.0])), [0.0, 1.0])
    assert nnx.jit(SimpleClassifier(4, 3, rngs=nnx.Rngs(0)))(jnp.ones((2, 4))).shape == (2, 3)


def test_a_training_step_as_in_the_comparison_with_pytorch():
    class SimpleModel(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.linear = nnx.Linear(1, 1, rngs=rngs)

        def __call__(self, x: jnp.ndarray):
            return self.linear(x)

    model = SimpleModel(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx=optax.sgd(learning_rate=0.01), wrt=nnx.Param)
    x, y = jnp.array([[2.0]]), jnp.array([[4.0]])

    @nnx.jit
    def train_step(model, optimizer, x, y):
        def loss_fn(model):
            return jnp.mean((model(x) - y) ** 2)

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    w = float(model.linear.kernel.value[0, 0])
    loss = train_step(model, optimizer, x, y)
    np.testing.assert_allclose(loss, (2 * w - 4) ** 2, rtol=1e-5)
    np.testing.assert_allclose(
        model.linear.kernel.value[0, 0], w - 0.01 * 4 * (2 * w - 4), rtol=1e-5
    )


class MLP(nnx.Module):
    def __init__(self, in_features, hidden_dim, out_features, *, rngs: nnx.Rngs):
        self.linear1 = nnx.Linear(in_features, hidden_dim, rngs=rngs)
        self.linear2 = nnx.Linear(hidden_dim, out_features, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, *, rngs: nnx.Rngs | None = None):
        x = nnx.relu(self.linear1(x))
        return self.linear2(self.dropout(x, rngs=rngs))


def test_the_cheat_sheet():
    rngs = nnx.Rngs(params=0, dropout=1)
    model = MLP(in_features=10, hidden_dim=32, out_features=1, rngs=rngs)
    assert model(jnp.ones((1, 10)), rngs=rngs).shape == (1, 1)

    streams = nnx.Rngs(params=42, dropout=0, noise=123)
    assert jnp.issubdtype(streams.dropout().dtype, jax.dtypes.prng_key)

    model = MLP(10, 32, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def train_step(model, optimizer, x, y):
        def loss_fn(model):
            preds = model(x, rngs=nnx.Rngs(dropout=0))
            return jnp.mean((preds - y) ** 2)

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(grads)
        return loss

    x_batch, y_batch = jnp.ones((32, 10)), jnp.ones((32, 1))
    losses = [float(train_step(model, optimizer, x_batch, y_batch)) for _ in range(100)]
    assert losses[-1] < losses[0] / 2

    graphdef, state = nnx.split(model)

    @jax.jit
    def pure_forward(graphdef, state, x):
        model = nnx.merge(graphdef, state)
        y = model(x)
        _, new_state = nnx.split(model)
        return y, new_state

    before = int(model.dropout.rngs.count.value)
    y, new_state = pure_forward(graphdef, state, x_batch)
    nnx.update(model, new_state)
    assert y.shape == (32, 1)
    assert int(model.dropout.rngs.count.value) == before + 1

    class MyLayer(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.w = nnx.Param(rngs.params.normal((10, 10)))
            self.counter = nnx.Variable(jnp.array(0))

    layer = MyLayer(nnx.Rngs(0))
    assert set(nnx.state(layer, nnx.Param)) == {"w"}
