"""Shardings by annotation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from nnxtrain import nnx


def make_mesh(kind="Auto"):
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(getattr(AxisType, kind),) * 2)


def layer(**metadata):
    init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"), **metadata)
    return nnx.Linear(4, 8, kernel_init=init, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_values_are_made_where_the_annotation_says(kind):
    mesh = make_mesh(kind)
    plain = nnx.Linear(4, 8, rngs=nnx.Rngs(0))
    with jax.set_mesh(mesh):
        eager, compiled = layer(), nnx.jit(layer)()
    for made in (eager, compiled, layer(mesh=mesh)):
        assert made.kernel.value.sharding == NamedSharding(mesh, P(None, "model"))
        assert made.kernel.out_sharding == (None, "model")
        np.testing.assert_allclose(made.kernel.value, plain.kernel.value, rtol=1e-6)
        assert {s.data.shape for s in made.kernel.value.addressable_shards} == {(4, 4)}


def test_without_a_mesh_the_annotation_is_kept():
    made = layer()
    assert made.kernel.out_sharding == (None, "model")
    assert len(made.kernel.value.sharding.device_set) == 1


def test_rules_and_names_that_no_mesh_has():
    rules = [("embed", None), ("mlp", "model"), ("batch", ("data", "model"))]
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        init = nnx.with_partitioning(nnx.initializers.ones, ("embed", "mlp"), sharding_rules=rules)
        made = nnx.Linear(4, 8, kernel_init=init, rngs=nnx.Rngs(0))
        assert made.kernel.value.sharding.spec == P(None, "model")
        with pytest.raises(ValueError, match="mlp"):
            nnx.with_partitioning(nnx.initializers.ones, ("embed", "mlp"))(
                jax.random.key(0), (4, 8)
            )
    state = nnx.State(
        {"x": nnx.Param(jnp.ones((8, 1)), sharding_names=("batch", "embed"), sharding_rules=rules)}
    )
    assert nnx.get_partition_spec(state).x.raw_value == P(("data", "model"), None)


def test_specs_and_shardings_of_trees():
    mesh = make_mesh()
    tree = {
        "out": nnx.Param(jnp.ones((4, 4)), out_sharding=("data", None)),
        "old": nnx.Param(jnp.ones((4, 4)), sharding_names=("data", "model")),
        "older": nnx.Param(jnp.ones((4, 4)), sharding=P("model")),
        "none": nnx.Param(jnp.ones(2)),
        "array": jnp.ones(2),
        "key": nnx.RngKey(jax.random.key(0)),
    }
    specs = nnx.get_partition_spec(tree)
    assert {k: v.raw_value if isinstance(v, nnx.Variable) else v for k, v in specs.items()} == {
        "out": P("data", None), "old": P("data", "model"), "older": P("model"), "none": P(), "array": P(), "key": P()
    }  # fmt: skip
    assert isinstance(specs["key"], nnx.RngKey)
    shardings = nnx.get_named_sharding(tree, mesh)
    assert shardings["older"].raw_value == NamedSharding(mesh, P("model"))
    placed = jax.device_put(tree, shardings)  # the trees have one structure
    assert placed["old"].value.sharding == NamedSharding(mesh, P("data", "model"))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_an_abstract_model_has_the_shardings_to_restore_into(kind):
    mesh = make_mesh(kind)
    graphdef, state = nnx.get_abstract_model(layer, mesh)
    assert state.kernel.value == jax.ShapeDtypeStruct(
        (4, 8), jnp.float32, sharding=NamedSharding(mesh, P(None, "model"))
    )
    assert state.bias.value.sharding == NamedSharding(mesh, P())
    concrete = jax.tree.map(
        lambda a: jax.device_put(jnp.zeros(a.shape, a.dtype), a.sharding), state
    )
    model = nnx.merge(graphdef, concrete)
    assert model.kernel.value.sharding.spec == P(None, "model")


def test_a_sharded_model_computes_what_the_plain_one_does():
    mesh = make_mesh()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    with jax.set_mesh(mesh):
        sharded = layer()
        y = nnx.jit(lambda m, x: m(x))(sharded, jax.device_put(x, NamedSharding(mesh, P("data"))))
    np.testing.assert_allclose(y, nnx.Linear(4, 8, rngs=nnx.Rngs(0))(x), rtol=1e-5, atol=1e-6)


def test_annotated_variables_are_made_sharded_under_a_mesh():
    mesh = jax.make_mesh((4,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    metadata = {"out_sharding": (None, "model")}
    with jax.set_mesh(mesh):
        layer = nnx.Linear(2, 8, kernel_metadata=metadata, rngs=nnx.Rngs(0))
        compiled = nnx.jit(lambda: nnx.Linear(2, 8, kernel_metadata=metadata, rngs=nnx.Rngs(0)))()
    for made in (layer, compiled):
        assert {s.data.shape for s in made.kernel.value.addressable_shards} == {(2, 2)}
    whole = nnx.Linear(2, 8, kernel_metadata=metadata, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(whole.kernel.value, layer.kernel.value)
    assert len(whole.kernel.value.sharding.device_set) == 1
