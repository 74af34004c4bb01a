"""nnx.shard_map and the shardings of nnx.jit on four simulated devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from nnxtrain import nnx


class MLP(nnx.Module):
    def __init__(self, *, rngs):
        self.linear1 = nnx.Linear(2, 8, use_bias=False, rngs=rngs)
        self.linear2 = nnx.Linear(8, 3, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.linear2(nnx.relu(self.linear1(x)))


def ends_with(*end):
    return lambda path, value: path[-len(end) :] == end


SPEC = {
    ends_with("linear1", "kernel"): P(None, "model"),
    ends_with("linear2", "kernel"): P("model", None),
}


def test_tensor_parallel_mlp():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("model",))
    model, x = MLP(rngs=nnx.Rngs(0)), jnp.ones((6, 2))
    want = model(x)

    @nnx.shard_map(mesh=mesh, in_specs=(nnx.StateSharding(SPEC), P()), out_specs=P())
    def run(model, x):
        assert model.linear1.kernel.shape == (2, 2)
        return jax.lax.psum(model(x), "model")

    np.testing.assert_allclose(run(model, x), want, rtol=1e-5)
    by_state = nnx.StateSharding(
        nnx.State(
            {"linear1": {"kernel": P(None, "model")}, "linear2": {"kernel": P("model", None)}}
        )
    )
    again = nnx.shard_map(
        lambda m, x: jax.lax.psum(m(x), "model"), mesh=mesh, in_specs=(by_state, P()), out_specs=P()
    )
    np.testing.assert_allclose(again(model, x), want, rtol=1e-5)


def test_writes_come_back_with_their_spec():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))
    sharded, total = nnx.BatchStat(jnp.arange(8.0)), nnx.BatchStat(jnp.zeros(()))

    @nnx.shard_map(mesh=mesh, in_specs=(P("data"), P(), P("data")), out_specs=P())
    def run(sharded, total, x):
        sharded.value = sharded.value + x
        total.value = total.value + jax.lax.psum(x.sum(), "data")
        return total.value

    assert float(run(sharded, total, jnp.ones(8))) == 8.0
    np.testing.assert_array_equal(sharded.value, np.arange(8.0) + 1)
    assert sharded.value.sharding.spec == P("data")
    assert float(total.value) == 8.0


def test_data_parallel_gradients_equal_the_whole():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))
    model, x = MLP(rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (8, 2))

    @nnx.jit
    @nnx.shard_map(mesh=mesh, in_specs=(None, P("data")), out_specs=P())
    def step(model, x):
        return jax.lax.pmean(nnx.value_and_grad(lambda m: (m(x) ** 2).mean())(model)[0], "data")

    np.testing.assert_allclose(step(model, x), (model(x) ** 2).mean(), rtol=1e-5)


def test_jit_in_and_out_shardings():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("model",))
    spec = {f: NamedSharding(mesh, p) for f, p in SPEC.items()}
    model, x = MLP(rngs=nnx.Rngs(0)), jnp.ones((8, 2))
    want = model(x)
    whole = NamedSharding(mesh, P())
    rows = NamedSharding(mesh, P("model"))

    @nnx.jit(in_shardings=(nnx.StateSharding({**spec}), whole), out_shardings=rows)
    def run(model, x):
        model.linear1.kernel.value = model.linear1.kernel.value * 1.0
        return model(x)

    out = run(model, x)
    np.testing.assert_allclose(out, want, rtol=1e-5)
    assert out.sharding.is_equivalent_to(rows, 2)
    assert model.linear1.kernel.value.sharding.is_equivalent_to(
        NamedSharding(mesh, P(None, "model")), 2
    )

    @nnx.jit(out_shardings=nnx.StateSharding({**spec}))
    def create():
        return MLP(rngs=nnx.Rngs(0))

    made = create()
    np.testing.assert_array_equal(made.linear2.kernel.value, model.linear2.kernel.value)
    assert made.linear2.kernel.value.sharding.is_equivalent_to(
        NamedSharding(mesh, P("model", None)), 2
    )
    assert [s.data.shape for s in made.linear1.kernel.value.addressable_shards] == [(2, 2)] * 4


def test_jit_shardings_that_do_not_fit():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("model",))
    model = MLP(rngs=nnx.Rngs(0))
    sharding = nnx.StateSharding({nnx.BatchStat: NamedSharding(mesh, P())})
    with pytest.raises(ValueError, match=r"no entry for linear1\.kernel"):
        nnx.jit(lambda m: None, in_shardings=(sharding,))(model)
