"""to_bytes and from_bytes."""

import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.saving import serialization


class Tied(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(3, 3, rngs=rngs)
        self.second = self.first
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.table = jnp.arange(3)
        self.constants = (jnp.ones(2), "fixed")


class Pair(NamedTuple):
    left: object
    right: object


def same(a, b):
    """Equal to the bit, with the same types and structure."""
    a_leaves, a_tree = jax.tree.flatten(a)
    b_leaves, b_tree = jax.tree.flatten(b)
    assert a_tree == b_tree
    for x, y in zip(a_leaves, b_leaves):
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            assert x.dtype == y.dtype
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert type(x) is type(y)
        if hasattr(x, "dtype"):
            assert x.dtype == y.dtype
            assert x.shape == y.shape
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        else:
            assert x == y or x != x


def states(node):
    return nnx.state(node)


def make():
    model = Tied(nnx.Rngs(0, dropout=1))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: m.norm(m.second(m.dropout(jnp.ones((4, 3))))).sum())(model)
        optimizer.update(model, grads)

    return model, optimizer, step


def test_model_optimizer_and_rngs_go_on_as_if_nothing_had_happened():
    model, optimizer, step = make()
    step(model, optimizer)
    data = nnx.to_bytes({"model": model, "optimizer": optimizer})

    other, other_optimizer, _ = make()
    before = nnx.to_bytes(other)
    restored = nnx.from_bytes({"model": other, "optimizer": other_optimizer}, data)
    assert nnx.to_bytes(other) == before  # the target is not touched
    assert restored["model"].second is restored["model"].first
    same(states(restored["model"]), states(model))
    same(states(restored["optimizer"]), states(optimizer))
    assert restored["model"].constants[1] == "fixed"

    step(model, optimizer)
    step(restored["model"], restored["optimizer"])
    same(states(restored["model"]), states(model))
    same(states(restored["optimizer"]), states(optimizer))
    assert restored["optimizer"]._link is restored["model"]


def test_shared_variables_are_written_once():
    tied = nnx.to_bytes(nnx.Linear(100, 100, use_bias=False, rngs=nnx.Rngs(0)))

    class Twice(nnx.Module):
        def __init__(self):
            self.a = nnx.Linear(100, 100, use_bias=False, rngs=nnx.Rngs(0))
            self.b = nnx.Linear(100, 100, use_bias=False, rngs=nnx.Rngs(1))
            self.b.kernel = self.a.kernel

    assert len(nnx.to_bytes(Twice())) < len(tied) + 100
    restored = nnx.from_bytes(Twice(), nnx.to_bytes(Twice()))
    assert restored.b.kernel is restored.a.kernel
    pair = {"a": restored.a, "b": restored.a}
    again = nnx.from_bytes(pair, nnx.to_bytes(pair))
    assert again["a"] is again["b"]


DTYPES = [
    *["bool", "int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32", "uint32"],
    *["float16", "bfloat16", "float32", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3"],
    *["float8_e4m3b11fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn"],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_rank(dtype):
    values = np.array([[1, 0, 1], [0, 1, 1]]).astype(jnp.dtype(dtype))
    tree = {
        "two": jnp.array(values),
        "none": jnp.array(values[0, 0]),
        "empty": jnp.array(values[:0]),
    }
    restored = nnx.from_bytes(jax.tree.map(jnp.zeros_like, tree), nnx.to_bytes(tree))
    same(restored, tree)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64", "complex128", ">f4", ">i2", "<f8"])
def test_numpy_arrays_stay_numpy_and_may_be_written(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tree = {"whole": array, "turned": array.T, "scalar": np.float64(0.1)}
    restored = nnx.from_bytes(jax.tree.map(np.zeros_like, tree), nnx.to_bytes(tree))
    np.testing.assert_array_equal(restored["turned"], array.T)
    assert restored["scalar"] == 0.1
    restored["whole"][:] = 0
    assert restored["whole"].dtype == array.dtype


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_typed_keys_keep_their_implementation(impl):
    keys = {
        "one": jax.random.key(3, impl=impl),
        "many": jax.random.split(jax.random.key(1, impl=impl), 3),
    }
    other = jax.tree.map(lambda k: jax.random.clone(k), keys)
    same(nnx.from_bytes(other, nnx.to_bytes(keys)), keys)
    wrong = {**keys, "one": jax.random.key(3, impl="rbg" if impl != "rbg" else "threefry2x32")}
    with pytest.raises(nnx.LoadError, match=rf"one is key<{impl}>\[\] and should be key<"):
        nnx.from_bytes(wrong, nnx.to_bytes(keys))
    raw = {"one": jax.random.key_data(keys["one"]), "many": keys["many"]}
    with pytest.raises(nnx.LoadError, match="one is key"):
        nnx.from_bytes(raw, nnx.to_bytes(keys))


def test_plain_pytrees_of_all_sorts():
    tree = {
        "numbers": [1, -(2**63), 2**64, 2.5, float("nan"), float("-inf"), 1 + 2j, True, False],
        "text": ("", "naïve", b"\0\xff"),
        "pair": Pair(left=jnp.ones(2), right=None),
        "nothing": None,
        "empty": [{}, (), []],
        "digits": {8: 0, 10: 1},
        "a.b": jnp.zeros(1),
        "a": {"b": jnp.ones(1)},
        "": 3,
    }
    same(nnx.from_bytes(tree, nnx.to_bytes(tree)), tree)


def test_a_dataclass_as_in_the_guided_tour():
    @nnx.struct.dataclass
    class Run:
        optimizer: nnx.State
        step: int
        name: str = nnx.struct.field(pytree_node=False, default="run")

    _, optimizer, _ = make()
    run = Run(nnx.state(optimizer), step=5)
    data = nnx.to_bytes(run)
    corrupted = jax.tree.map(lambda x: 0 * x, run).replace(name="other")
    restored = nnx.from_bytes(corrupted, data)
    assert corrupted.step == 0
    assert (restored.step, restored.name) == (5, "other")
    same(restored.optimizer, run.optimizer)
    zeros = run.replace(
        step=jnp.zeros((), jnp.int32)
    )  # a number may become an array without axes, and back
    assert nnx.from_bytes(zeros, data).step == jnp.int32(5)
    assert nnx.from_bytes(run, nnx.to_bytes(zeros.replace(step=jnp.int32(7)))).step == 7
    with pytest.raises(nnx.LoadError, match=r"step is float32\[\] and should be int32\[\]"):
        nnx.from_bytes(zeros, nnx.to_bytes(zeros.replace(step=jnp.float32(7))))


def test_a_module_and_its_state_are_the_same_bytes_for_each_other():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    state = nnx.from_bytes(jax.tree.map(jnp.zeros_like, nnx.state(model)), nnx.to_bytes(model))
    same(state, nnx.state(model))
    same(nnx.from_bytes(model.kernel, nnx.to_bytes(model.kernel)), model.kernel)
    same(nnx.from_bytes(jnp.zeros(3), nnx.to_bytes(jnp.arange(3.0))), jnp.arange(3.0))


def test_sown_values_are_trees_in_a_variable():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    model.sow(nnx.Intermediate, "seen", jnp.ones(2))
    model.sow(nnx.Intermediate, "seen", jnp.zeros(3))
    same(nnx.state(nnx.from_bytes(model, nnx.to_bytes(model))), nnx.state(model))


def test_an_abstract_target_and_devices():
    model = nnx.Linear(4, 8, rngs=nnx.Rngs(0))
    data = nnx.to_bytes(model)
    built = nnx.from_bytes(nnx.eval_shape(lambda: nnx.Linear(4, 8, rngs=nnx.Rngs(1))), data)
    same(nnx.state(built), nnx.state(model))
    assert not built.kernel.value.committed
    mesh = jax.make_mesh((4,), ("x",))
    place = jax.sharding.NamedSharding(mesh, jax.P(None, "x"))
    spread = nnx.clone(model)
    spread.kernel.value = jax.device_put(model.kernel.value, place)
    restored = nnx.from_bytes(spread, data)
    assert restored.kernel.value.sharding == place
    assert not restored.bias.value.committed
    assert nnx.to_bytes(spread) == data
    with pytest.raises(ValueError, match="kernel is abstract"):
        nnx.to_bytes(nnx.eval_shape(lambda: nnx.Linear(4, 8, rngs=nnx.Rngs(1))))


def test_any_damage_is_one_line():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    data = nnx.to_bytes(model)
    random = np.random.default_rng(0)
    for _ in range(200):
        bad = bytearray(data)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        with pytest.raises(nnx.LoadError) as caught:
            nnx.from_bytes(model, bytes(bad))
        assert "\n" not in str(caught.value)
    for length in (0, 1, 8, 20, 40, 41, len(data) // 2, len(data) - 1):
        with pytest.raises(nnx.LoadError, match="damaged"):
            nnx.from_bytes(model, data[:length])
    with pytest.raises(nnx.LoadError, match="damaged"):
        nnx.from_bytes(model, data + b"\0")
    with pytest.raises(nnx.LoadError, match="not what to_bytes"):
        nnx.from_bytes(model, b"hello world, this is no msgpack")


def test_a_later_version_is_told_apart():
    body = msgpack.packb({"version": 2, "leaves": []})
    data = serialization.MAGIC + hashlib.sha256(body).digest() + body
    with pytest.raises(nnx.LoadError, match="of version 2"):
        nnx.from_bytes({}, data)


def test_a_misfit_names_paths():
    small, large = (
        nnx.List([nnx.Linear(2, n, rngs=nnx.Rngs(0)) for n in w]) for w in ([3, 4], [3, 5, 6])
    )
    with pytest.raises(nnx.LoadError) as caught:
        nnx.from_bytes(large, nnx.to_bytes(small))
    assert str(caught.value) == (
        "the bytes do not fit the target: 2 paths fit; 2 missing: 2.kernel, 2.bias; 2 of other shape or dtype: "
        "1.kernel is float32[2,4] and should be float32[2,5], 1.bias is float32[4] and should be float32[5]"
    )
    report = caught.value.report
    assert report.missing == ("2.kernel", "2.bias")
    assert report.loaded == ("0.kernel", "0.bias")
    with pytest.raises(nnx.LoadError, match=r"2 unexpected: 2\.kernel, 2\.bias"):
        nnx.from_bytes(small, nnx.to_bytes(large))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), nnx.state(small))
    with pytest.raises(nnx.LoadError, match=r"0\.bias is float32\[3\] and should be bfloat16\[3\]"):
        nnx.from_bytes(half, nnx.to_bytes(small))


def test_what_cannot_be_saved_is_named():
    with pytest.raises(TypeError, match=r"a\.1 is a function, which cannot be saved"):
        nnx.to_bytes({"a": [1, lambda: 0]})
    with pytest.raises(TypeError, match="x is an array of"):
        nnx.to_bytes({"x": np.array(["a", "b"])})
    with pytest.raises(ValueError, match=r"two values have the path a\.1"):
        nnx.to_bytes({"a": nnx.Dict({1: jnp.ones(1), "1": jnp.ones(1)})})


def test_arrays_of_several_chunks(monkeypatch):
    monkeypatch.setattr(serialization, "CHUNK", 10)
    tree = {
        "x": jnp.arange(7, dtype=jnp.int16),
        "y": jnp.ones((2, 5), jnp.bfloat16),
        "z": jnp.zeros(0),
    }
    data = nnx.to_bytes(tree)
    same(nnx.from_bytes(jax.tree.map(jnp.zeros_like, tree), data), tree)
    stream = msgpack.Unpacker(max_buffer_size=0)  # any reader of msgpack can read it
    stream.feed(data[len(serialization.MAGIC) + 32 :])
    header, *chunks = stream
    assert [len(c) for c in chunks] == [10, 4, 10, 10]
    assert [leaf["path"] for leaf in header["leaves"]] == [["x"], ["y"], ["z"]]


def test_what_flax_wrote():
    """As flax.serialization.to_bytes lays out nested dicts: arrays are extension type 1, large ones in chunks."""

    def array(x):
        return msgpack.ExtType(1, msgpack.packb((x.shape, x.dtype.name, x.tobytes())))

    kernel, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(3).astype(jnp.bfloat16)
    chunked = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 3},
        "chunks": {"0": array(kernel.reshape(-1)[:4]), "1": array(kernel.reshape(-1)[4:])},
    }
    data = msgpack.packb(
        {"layers": {"0": {"kernel": chunked, "bias": array(bias)}}, "step": 3, "none": None}
    )
    target = {
        "layers": [{"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3, jnp.bfloat16)}],
        "step": 0,
        "none": None,
    }
    restored = nnx.from_bytes(target, data)
    np.testing.assert_array_equal(restored["layers"][0]["kernel"], kernel)
    np.testing.assert_array_equal(restored["layers"][0]["bias"], bias)
    assert restored["step"] == 3


def test_flax_itself_where_installed():
    flax = pytest.importorskip("flax.serialization")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    data = flax.to_bytes(nnx.to_pure_dict(nnx.state(model)))
    same(nnx.state(nnx.from_bytes(nnx.Linear(2, 3, rngs=nnx.Rngs(1)), data)), nnx.state(model))
