"""Safetensors files, read and written; where it is installed, PyTorch is the other side."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file  # noqa: E402


class Tied(nnx.Module):
    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.embed = nnx.Linear(3, 4, use_bias=False, rngs=rngs)
        self.layers = [nnx.Linear(4, 4, param_dtype=jnp.bfloat16, rngs=rngs)]
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.head = nnx.Linear(3, 4, use_bias=False, rngs=rngs)
        self.head.kernel = self.embed.kernel
        self.key = nnx.RngKey(jax.random.split(jax.random.key(seed, impl="rbg"), 2))
        self.empty = nnx.Param(jnp.zeros((0, 2)))
        self.scale = nnx.Param(jnp.float32(seed))


class Untied(Tied):
    def __init__(self, seed=0):
        super().__init__(seed)
        self.head.kernel = nnx.Param(self.embed.kernel.value * 0)


def values(model):
    return {
        ".".join(map(str, path)): np.asarray(
            jax.random.key_data(leaf.value) if isinstance(leaf, nnx.RngKey) else leaf.value
        )
        for path, leaf in nnx.to_flat_state(nnx.state(model))
    }


def same(a, b):
    a, b = values(a), values(b)
    assert a.keys() == b.keys()
    for name, x in a.items():
        assert (x.dtype, x.shape, x.tobytes()) == (b[name].dtype, b[name].shape, b[name].tobytes())


def test_there_and_back(tmp_path):
    model, other = Tied(0), Tied(1)
    file = tmp_path / "m.safetensors"
    nnx.save_safetensors(file, model, metadata={"licence": "MIT", "format": "pt"})
    assert nnx.load_safetensors(file, other) is other
    same(model, other)
    assert other.head.kernel is other.embed.kernel
    nnx.save_safetensors(file, other)  # replaces
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_any_reader_sees_names_values_and_metadata(tmp_path):
    model = Tied()
    file = tmp_path / "m.safetensors"
    nnx.save_safetensors(file, model, metadata={"licence": "MIT"})
    read = load_file(file)
    expected = values(model)
    assert read.keys() == expected.keys()
    for name, x in read.items():
        assert (x.dtype, x.shape, x.tobytes()) == (
            expected[name].dtype,
            expected[name].shape,
            expected[name].tobytes(),
        )
    with safetensors.safe_open(file, "np") as opened:
        metadata = opened.metadata()
    assert metadata == {"licence": "MIT", "head.kernel": "embed.kernel", "key:key": "key<rbg>"}


@pytest.mark.parametrize("committed", [False, True])
def test_what_is_loaded_is_no_view_of_the_file(tmp_path, committed):
    file = tmp_path / "m.safetensors"
    expected = np.arange(64.0, dtype=np.float32)
    for padding in range(0, 64, 4):  # arrays in the file at every alignment that there can be
        nnx.save_safetensors(file, {"w": jnp.asarray(expected)}, metadata={"x": "x" * padding})
        place = jax.devices()[0] if committed else None
        loaded = nnx.load_safetensors(file, {"w": jax.device_put(jnp.zeros(64), place)})["w"]
        assert loaded.committed == committed
        with open(file, "r+b") as opened:
            opened.seek(-expected.nbytes, 2)
            opened.write(bytes(expected.nbytes))
        np.testing.assert_array_equal(loaded, expected)


def test_filters(tmp_path):
    model, other = Tied(0), Tied(1)
    file = tmp_path / "m.safetensors"
    nnx.save_safetensors(file, model, nnx.BatchStat, nnx.PathContains("layers"))
    assert set(load_file(file)) == {"norm.mean", "norm.var", "layers.0.kernel", "layers.0.bias"}
    with pytest.raises(nnx.LoadError, match=r"missing: embed\.kernel"):
        nnx.load_safetensors(file, other)
    embed = other.embed.kernel.value
    nnx.load_safetensors(file, other, nnx.BatchStat, nnx.PathContains("layers"))
    np.testing.assert_array_equal(other.layers[0].kernel.value, model.layers[0].kernel.value)
    assert other.embed.kernel.value is embed


def test_a_shared_array_is_found_under_all_its_names(tmp_path):
    file = tmp_path / "m.safetensors"
    model, untied = Tied(3), Untied(1)
    nnx.save_safetensors(file, model)
    nnx.load_safetensors(file, untied)
    np.testing.assert_array_equal(untied.head.kernel.value, model.embed.kernel.value)
    nnx.save_safetensors(file, untied)
    with pytest.raises(nnx.LoadError, match=r"1 unexpected: head\.kernel"):
        nnx.load_safetensors(file, Tied(1))


def test_names_of_others(tmp_path):
    file = tmp_path / "theirs.safetensors"
    save_file(
        {
            "model.dense.kernel": np.ones((2, 3), np.float32),
            "model.dense.bias": np.ones(3, np.float32),
        },
        file,
    )
    model = nnx.Dict(proj=nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    with pytest.raises(nnx.LoadError, match=r"proj\.kernel \(there is model\.dense\.kernel\)"):
        nnx.load_safetensors(file, model)
    nnx.load_safetensors(file, model, rename={"model.dense": "proj"})
    assert model.proj.kernel.value.sum() == 6
    wide = nnx.Dict(proj=nnx.Linear(2, 4, rngs=nnx.Rngs(0)), more=nnx.Param(jnp.ones(1)))
    with pytest.warns(nnx.LoadWarning, match=r"0 paths fit; 1 missing: more; 2 of other shape"):
        nnx.load_safetensors(file, wide, rename={"model.dense": "proj"}, strict=False)
    dotted = nnx.Dict({"a.b": nnx.Param(jnp.ones(2))})
    nnx.save_safetensors(file, dotted)
    assert (
        nnx.load_safetensors(file, nnx.Dict({"a.b": nnx.Param(jnp.zeros(2))}))["a.b"].value.sum()
        == 2
    )
    assert nnx.load_safetensors(file, {"a": {"b": np.zeros(2, np.float32)}})["a"]["b"].sum() == 2


DTYPES = [
    *["bool", "uint64", "int8", "float16", "bfloat16", "float64", "complex64"],
    *["float8_e4m3fn", "float8_e5m2"],
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(tmp_path, dtype):
    tree = {"x": np.array([[1, 0, 1]]).astype(jnp.dtype(dtype))}
    nnx.save_safetensors(tmp_path / "m", tree)
    loaded = nnx.load_safetensors(tmp_path / "m", {"x": np.zeros((1, 3), jnp.dtype(dtype))})
    assert loaded["x"].dtype == tree["x"].dtype
    assert loaded["x"].tobytes() == tree["x"].tobytes()


def test_what_does_not_go_is_named(tmp_path):
    file = tmp_path / "m.safetensors"
    with pytest.raises(TypeError, match=r"a\.x is of int4"):
        nnx.save_safetensors(file, {"a": {"x": jnp.zeros(2, jnp.int4)}})
    with pytest.raises(TypeError, match="step is a Python int"):
        nnx.save_safetensors(file, {"step": 1})
    with pytest.raises(ValueError, match=r"two values have the name 'a\.b'"):
        nnx.save_safetensors(file, {"a.b": jnp.zeros(2), "a": {"b": jnp.zeros(2)}})
    with pytest.raises(ValueError, match=r"metadata name 'head\.kernel'"):
        nnx.save_safetensors(file, Tied(), metadata={"head.kernel": "x"})
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        nnx.load_safetensors(file, Tied())


def test_damage_is_one_line(tmp_path):
    file = tmp_path / "m.safetensors"
    model = Tied()
    nnx.save_safetensors(file, model)
    content = file.read_bytes()
    for bad in (b"", content[:4], content[:100], content[:-1], content + b"\0", b"\xff" * 100):
        file.write_bytes(bad)
        with pytest.raises(nnx.LoadError, match="cannot be read") as caught:
            nnx.load_safetensors(file, model)
        assert "\n" not in str(caught.value)
    header = json.dumps({"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(nnx.LoadError):
        nnx.load_safetensors(file, model)


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "nnxtrain\[safetensors\]"'):
        nnx.save_safetensors(tmp_path / "m", Tied())


def test_pytorch_where_installed(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    model = Tied()
    nnx.save_safetensors(tmp_path / "ours", model)
    read = theirs.load_file(tmp_path / "ours")
    assert read["layers.0.kernel"].dtype == torch.bfloat16
    for name, x in values(model).items():
        if x.dtype != np.uint32:
            np.testing.assert_array_equal(read[name].float().numpy(), x.astype(np.float32))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(3, 3, bias=False)
            self.second = torch.nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight

    net = Net()
    theirs.save_model(net, tmp_path / "theirs")
    target = {
        "first": {"weight": np.zeros((3, 3), np.float32)},
        "second": {"weight": np.zeros((3, 3), np.float32)},
    }
    loaded = nnx.load_safetensors(tmp_path / "theirs", target)
    for part in ("first", "second"):
        np.testing.assert_array_equal(loaded[part]["weight"], net.first.weight.detach().numpy())


def test_the_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").touch()
    nnx.save_safetensors(tmp_path / "m.safetensors", {"x": jnp.ones(2)})
    modes = [(tmp_path / name).stat().st_mode for name in ("m.safetensors", "other")]
    assert modes[0] == modes[1]
