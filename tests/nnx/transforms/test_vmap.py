"""nnx.vmap against loops over single models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx


class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.linear = nnx.Linear(3, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.linear(x)))


def ensemble(n=4):
    def make(key):
        return Net(rngs=nnx.Rngs(key))

    keys = jax.random.split(jax.random.key(0), n)
    return nnx.vmap(make)(keys), [make(key) for key in keys]


def part(model, i):
    graphdef, state = nnx.split(model)
    return nnx.merge(graphdef, jax.tree.map(lambda x: x[i], state))


def test_objects_that_come_out_are_stacked_and_equal_to_single_ones():
    stacked, singles = ensemble()
    assert stacked.linear.kernel.shape == (4, 3, 3)
    for i, single in enumerate(singles):
        jax.tree.map(
            np.testing.assert_array_equal,
            nnx.state(part(stacked, i), nnx.Param, nnx.BatchStat),
            nnx.state(single, nnx.Param, nnx.BatchStat),
        )


def test_writes_come_back_along_the_mapped_axis():
    stacked, singles = ensemble()
    x = jax.random.normal(jax.random.key(1), (5, 3))
    y = nnx.vmap(lambda m, x: m(x), in_axes=(0, None))(stacked, x)
    for i, single in enumerate(singles):
        np.testing.assert_allclose(y[i], single(x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            stacked.norm.mean.value[i], single.norm.mean.value, rtol=1e-6, atol=1e-7
        )
        assert int(stacked.dropout.rngs.count.value[i]) == int(single.dropout.rngs.count.value) == 1


def test_axes_by_filter_share_some_variables():
    class Foo(nnx.Module):
        def __init__(self):
            self.a = nnx.Param(jnp.arange(4))
            self.b = nnx.BatchStat(jnp.arange(4))

    foo = Foo()
    axes = nnx.StateAxes({nnx.Param: 0, ...: None})
    got = nnx.vmap(lambda foo: foo.a * foo.b, in_axes=(axes,))(foo)
    np.testing.assert_array_equal(got, np.outer(np.arange(4), np.arange(4)))


def test_out_axes_place_arrays_and_objects():
    def make(key):
        return nnx.Linear(2, 3, rngs=nnx.Rngs(key)), jnp.ones(5)

    linear, ones = nnx.vmap(
        make, out_axes=(nnx.StateAxes({nnx.PathContains("kernel"): 1, ...: 0}), 1)
    )(jax.random.split(jax.random.key(0), 4))
    assert linear.kernel.shape == (2, 4, 3)
    assert linear.bias.shape == (4, 3)
    assert ones.shape == (5, 4)


def test_negative_axes_keyword_arguments_and_decorator_form():
    @nnx.vmap(in_axes=(-1, 0), out_axes=-1)
    def f(v, x):
        v.value = v.value + x.sum()
        return v.value

    v = nnx.Param(jnp.zeros((3, 2)))
    assert f(v, x=jnp.ones((2, 5))).shape == (3, 2)
    np.testing.assert_array_equal(v.value, np.full((3, 2), 5.0))


def test_bound_methods_and_partials_are_shared_by_all():
    linear = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    x = jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_allclose(nnx.vmap(linear)(x), linear(x), rtol=1e-6)


def test_new_variables_of_an_object_get_its_axis():
    class Sower(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.arange(3.0))

        def __call__(self, x):
            self.sow(nnx.Intermediate, "h", self.w.value * x)
            return x

    model = Sower()
    nnx.vmap(lambda m, x: m(x), in_axes=(0, None))(model, 2.0)
    np.testing.assert_array_equal(nnx.pop(model, nnx.Intermediate)["h"].value[0], [0.0, 2.0, 4.0])


def test_collectives_by_axis_name_make_equal_statistics():
    norm = nnx.BatchNorm(3, axis_name="batch", rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (4, 5, 3))
    whole = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    whole(x.reshape(20, 3))
    nnx.vmap(lambda m, x: m(x), in_axes=(None, 0), axis_name="batch")(norm, x)
    np.testing.assert_allclose(norm.mean.value, whole.mean.value, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(norm.var.value, whole.var.value, rtol=1e-5, atol=1e-7)


def test_axis_names_in_sharding_metadata():
    def make(rngs):
        return nnx.Linear(2, 3, kernel_metadata={"sharding_names": ("in", "out")}, rngs=rngs)

    metadata = {nnx.PARTITION_NAME: "layers"}
    stacked = nnx.split_rngs(splits=4)(nnx.vmap(make, transform_metadata=metadata))(nnx.Rngs(0))
    assert stacked.kernel.sharding_names == ("layers", "in", "out")

    def look(linear):
        assert linear.kernel.sharding_names == ("in", "out")

    nnx.vmap(look, transform_metadata=metadata)(stacked)
    assert stacked.kernel.sharding_names == ("layers", "in", "out")


def test_it_can_be_differentiated_and_compiled():
    stacked, singles = ensemble()
    stacked.eval()
    x = jax.random.normal(jax.random.key(1), (5, 3))

    @nnx.jit
    def grads_of(model):
        return nnx.grad(lambda m: nnx.vmap(lambda m, x: m(x), in_axes=(0, None))(m, x).sum())(model)

    grads = grads_of(stacked)
    for i, single in enumerate(singles):
        single.eval()
        want = nnx.grad(lambda m: m(x).sum())(single)
        jax.tree.map(
            lambda g, w, i=i: np.testing.assert_allclose(g[i], w, rtol=1e-5, atol=1e-5),
            grads,
            want,
        )


def test_errors_name_the_variable_and_the_fix():
    model = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    with pytest.raises(
        ValueError, match=r"rngs\.\w+ over axis 0, but its shape is \[\].*split_rngs"
    ):
        nnx.vmap(lambda m, x: m(x))(model, jnp.ones((4, 2)))
    a, b = nnx.Param(jnp.ones((4, 2))), nnx.Param(jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"different sizes: 4 .* 3"):
        nnx.vmap(lambda a, b: None)(a, b)
    with pytest.raises(
        ValueError, match="shared, and gets axis 0 in one place and None in another"
    ):
        nnx.vmap(lambda a, b: None, in_axes=(0, None))(a, a)
    stat = nnx.Param(jnp.zeros(()))

    def write(stat, x):
        stat.value = x

    with pytest.raises(ValueError, match="Variable with axis None"):
        nnx.vmap(write, in_axes=(None, 0))(stat, jnp.ones(3))
    assert float(stat.value) == 0.0
    with pytest.raises(ValueError, match="in_axes does not fit"):
        nnx.vmap(lambda a, b: None, in_axes=(0, 0, 0))(a, a)
    with pytest.raises(nnx.StructureError, match="graph_updates=False"):
        nnx.vmap(
            lambda m, x: m.sow(nnx.Intermediate, "h", x), in_axes=(None, 0), graph_updates=False
        )(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), jnp.ones(3))


def test_sharing_inside_an_argument_is_kept():
    class Tied(nnx.Module):
        def __init__(self):
            self.a = nnx.Param(jnp.zeros(4))
            self.b = self.a

    tied = Tied()

    def write(m):
        assert m.a is m.b
        m.a.value += 1.0
        return m.b.value

    np.testing.assert_array_equal(nnx.vmap(write)(tied), np.ones(4))
    with pytest.raises(nnx.StructureError, match="graph=False takes trees"):
        nnx.vmap(write, graph=False)(tied)
