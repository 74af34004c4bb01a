"""What modules sow and perturb, with nnx.capture and without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Layer(nnx.Module):
    def __init__(self, factor):
        self.factor = nnx.Param(jnp.asarray(factor))

    def __call__(self, x):
        x = self.perturb("before", x)
        self.sow(nnx.Intermediate, "seen", x)
        self.sow("losses", "size", x**2, lambda past, new: past + new, lambda: 0.0)
        return self.scale(x)

    def scale(self, x):
        return x * self.factor


class Model(nnx.Module):
    def __init__(self):
        self.layers = [Layer(2.0), Layer(3.0)]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_what_is_sown_comes_back_by_path_and_nothing_stays():
    model = Model()
    before = nnx.graphdef(model)
    losses = nnx.variable_type_from_name("losses", allow_register=True)
    y, seen, sizes = nnx.capture(model, nnx.Intermediate, losses)(jnp.array(1.0))
    assert y == 6.0
    assert type(seen.layers[0].seen) is nnx.Intermediate
    assert [float(seen.layers[i].seen.value[0]) for i in (0, 1)] == [1.0, 2.0]
    assert [float(sizes.layers[i].size.value) for i in (0, 1)] == [1.0, 4.0]
    assert nnx.graphdef(model) == before


def test_it_takes_functions_methods_and_kinds_as_decorator():
    model = Model()

    @nnx.capture(nnx.Intermediate)
    def twice(model, x):
        return model(model(x))

    result, seen = twice(model, 1.0)
    assert result == 36.0
    assert [float(x) for x in seen.layers[1].seen.value] == [2.0, 12.0]
    _, seen = nnx.capture(model.layers[0].scale, nnx.Intermediate)(1.0)
    assert len(seen) == 0
    assert nnx.capture(model)(1.0) == 6.0
    with pytest.raises(TypeError, match="first argument must be the module; it got float"):
        twice(1.0)


def test_captures_travel_through_jit_and_grad():
    model = Model()
    run = nnx.jit(lambda model, x: model(x))
    for _ in range(2):
        y, seen = nnx.capture(run, nnx.Intermediate)(model, jnp.array(1.0))
        assert y == 6.0
        assert seen.layers[1].seen.value[0] == 2.0
        assert isinstance(seen.layers[1].seen.value[0], jax.Array)
    inside = nnx.jit(lambda model, x: nnx.capture(model, nnx.Intermediate)(x))
    y, seen = inside(model, jnp.array(1.0))
    assert seen.layers[1].seen.value[0] == 2.0
    loss = nnx.grad(nnx.capture(nnx.Intermediate)(lambda m, x: m(x)), has_aux=True)
    grads, seen = loss(model, jnp.array(1.0))
    assert seen.layers[1].seen.value[0] == 2.0
    assert grads.layers[0].factor.value == 3.0


def test_perturbations_give_the_gradients_of_intermediate_values():
    model = Model()
    x = jnp.array(1.0)
    _, zeros = nnx.capture(model, nnx.Perturbation)(x)
    assert zeros.layers[1].before.value == 0.0

    def loss(model, zeros, x):
        return nnx.capture(model, nnx.Intermediate, init=zeros)(x)

    (grads, inner), seen = nnx.grad(loss, argnums=(0, 1), has_aux=True)(model, zeros, x)
    assert grads.layers[1].factor.value == 2.0
    assert [float(inner.layers[i].before.value) for i in (0, 1)] == [6.0, 3.0]
    both = nnx.merge_state(inner, seen)
    assert set(both.layers[0]) == {"before", "seen"}


def test_results_of_methods_are_captured_and_classes_are_left_as_they_were():
    class Wide(Layer):
        pass

    model = Model()
    model.layers[1] = Wide(3.0)
    run = nnx.jit(lambda model, x: model(x))
    nnx.capture(run, nnx.Intermediate)(model, 1.0)
    y, out = nnx.capture(run, method_outputs=nnx.Intermediate)(model, 1.0)
    assert y == 6.0
    assert [float(x) for x in out["__call__"].value] == [6.0]
    assert [float(x) for x in out.layers[1]["__call__"].value] == [6.0]
    assert [float(x) for x in out.layers[1].scale.value] == [6.0]
    assert "scale" not in vars(Wide)
    assert Layer.scale.__module__ == __name__
    assert not hasattr(Layer.scale, "__wrapped__")


def test_captures_of_results_may_lie_in_one_another():
    class Outer(nnx.Module):
        def __init__(self):
            self.layer = Layer(2.0)
            self.inner = None

        def __call__(self, x):
            self.inner = nnx.capture(Layer(3.0), method_outputs=nnx.Intermediate)(x)[1]
            return self.layer(x)

    model = Outer()
    _, out = nnx.capture(model, method_outputs=nnx.Intermediate)(1.0)
    assert [float(x) for x in model.inner.scale.value] == [3.0]
    assert [float(x) for x in out.layer.scale.value] == [2.0]
    assert not hasattr(Layer.scale, "__wrapped__")


def test_an_error_ends_the_capture():
    model = Model()
    with pytest.raises(KeyError):
        nnx.capture(lambda model: {}["x"], nnx.Intermediate, method_outputs=nnx.Intermediate)(model)
    assert "__captures__" not in vars(model)
    assert not hasattr(Layer.__call__, "__wrapped__")


def test_without_capture_values_stay_in_the_module():
    layer = Layer(2.0)
    layer(jnp.array(1.0))
    layer(jnp.array(2.0))
    np.testing.assert_array_equal(jnp.stack(layer.seen.value), [1.0, 2.0])
    assert layer.before.value == 0.0
    layer.taken = 1
    with pytest.raises(ValueError, match=r"Layer\.taken is a int"):
        layer.sow(nnx.Intermediate, "taken", 1.0)
    with pytest.raises(ValueError, match=r"Layer\.taken is a int"):
        layer.perturb("taken", 1.0)


def test_the_modules_own_output_is_recorded():
    model = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    x = jnp.ones((1, 2))
    y, outputs = nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)(x)
    np.testing.assert_array_equal(outputs["__call__"].value[0], y)
    _, by_function = nnx.capture(lambda m, x: m(x), method_outputs=nnx.Intermediate)(model, x)
    assert list(outputs) == list(by_function)
