"""nnx.save, nnx.load and what they report."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.saving import checkpoint


class Net(nnx.Module):
    def __init__(self, rngs, width=4):
        self.encoder = nnx.Linear(3, width, param_dtype=jnp.bfloat16, rngs=rngs)
        self.tied = self.encoder
        self.layers = [nnx.Linear(width, width, rngs=rngs) for _ in range(2)]
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.table = jnp.arange(3)
        self.constants = (jnp.ones(2), "fixed")
        self.empty = nnx.Param(jnp.zeros((0, 3)))
        self.by_name = nnx.Dict(
            {"a.b": nnx.Param(jnp.ones(1)), "a/b": nnx.Param(jnp.zeros(1)), "%": nnx.Param(1.0)}
        )
        self.key = nnx.Variable(jax.random.key(7, impl="rbg"))

    def __call__(self, x):
        return self.dropout(self.norm(self.layers[0](self.encoder(x).astype(jnp.float32))))


def raw(value):
    is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(value) if is_key else value)


def same(a, b):
    a, b = (dict(nnx.to_flat_state(nnx.state(node))) for node in (a, b))
    assert list(a) == list(b)
    for path, leaf in a.items():
        x, y = ((v.raw_value if isinstance(v, nnx.Variable) else v) for v in (leaf, b[path]))
        assert x.dtype == y.dtype, path
        assert raw(x).shape == raw(y).shape, path
        assert raw(x).tobytes() == raw(y).tobytes(), path


def trained(seed=0):
    model = Net(nnx.Rngs(seed, dropout=seed + 1))
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    step(model, optimizer)
    return model, optimizer


@nnx.jit
def step(model, optimizer):
    optimizer.update(
        model,
        nnx.grad(lambda m: (m(jnp.ones((2, 3))) ** 2).sum(), argnums=nnx.DiffState(0, nnx.Param))(
            model
        ),
    )


def test_a_run_goes_on_to_the_bit_after_loading(tmp_path):
    model, optimizer = trained()
    nnx.save(
        tmp_path / "run",
        {"model": model, "optimizer": optimizer, "epoch": 3, "note": "é", "rate": 0.1},
    )

    def factory():
        model = Net(nnx.Rngs(5))
        return {"model": model, "optimizer": nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)}

    other, other_optimizer = trained(5)
    kernel = other.encoder.kernel
    run = {"model": other, "optimizer": other_optimizer, "epoch": 0, "note": "", "rate": 1.0}
    loaded = nnx.load(tmp_path / "run", run)
    assert loaded["model"] is other
    assert other.encoder.kernel is kernel
    assert (loaded["epoch"], loaded["note"], loaded["rate"]) == (3, "é", 0.1)
    same(other, model)
    assert other.constants[1] == "fixed"
    assert other.tied is other.encoder
    same(other_optimizer, optimizer)
    step(model, optimizer)
    step(other, other_optimizer)
    same(other, model)
    same(other_optimizer, optimizer)

    nnx.save(tmp_path / "pair", {"model": model, "optimizer": optimizer})
    pair = nnx.load(tmp_path / "pair", factory)
    same(pair["model"], model)
    step(model, optimizer)
    step(pair["model"], pair["optimizer"])
    same(pair["model"], model)
    same(pair["optimizer"], optimizer)
    assert pair["optimizer"]._link is pair["model"]


def test_a_function_is_run_without_computing(tmp_path):
    model = Net(nnx.Rngs(0))
    nnx.save(tmp_path / "m", model)
    seen = []

    def factory():
        made = Net(nnx.Rngs(1))
        seen.append(made.encoder.kernel.value)
        return made

    same(nnx.load(tmp_path / "m", factory), model)
    assert len(seen) == 1
    assert isinstance(seen[0], jax.core.Tracer)
    same(
        nnx.load(
            tmp_path / "m",
            type("Plain", (Net,), {"__init__": lambda self: Net.__init__(self, nnx.Rngs(2))}),
        ),
        model,
    )


def test_loaded_values_do_not_compile_anew(tmp_path):
    model, _ = trained()
    nnx.save(tmp_path / "m", model)
    traces = []

    @nnx.jit
    def f(model):
        traces.append(1)
        return model.encoder(jnp.ones((1, 3)))

    f(model)
    nnx.load(tmp_path / "m", model)
    f(model)
    f(nnx.load(tmp_path / "m", lambda: Net(nnx.Rngs(1, dropout=2))))
    assert len(traces) == 1
    assert not model.encoder.kernel.value.committed


@pytest.mark.parametrize("kind", ["relative", "home", "existing and empty", "deep"])
def test_paths(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = {"relative": "m", "home": "~/m", "existing and empty": "m", "deep": "a/b/../c/m"}[kind]
    if kind.startswith("existing"):
        Path("m").mkdir()
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.save(path, model)
    same(nnx.load(path, lambda: nnx.Linear(2, 2, rngs=nnx.Rngs(1))), model)


def test_what_exists_is_replaced_on_demand_and_only_if_it_is_a_save(tmp_path):
    first, second = (nnx.Linear(2, 2, rngs=nnx.Rngs(i)) for i in range(2))
    path = tmp_path / "m"
    nnx.save(path, first)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        nnx.save(path, second)
    same(nnx.load(path, nnx.clone(second)), first)
    nnx.save(path, second, overwrite=True)
    same(nnx.load(path, nnx.clone(first)), second)
    assert os.listdir(tmp_path) == ["m"]
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    for name, said in (("file", "is a file"), ("other", "holds thesis.tex")):
        with pytest.raises(FileExistsError, match=said):
            nnx.save(tmp_path / name, first, overwrite=True)
    (path / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex"):
        nnx.save(path, first, overwrite=True)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(tmp_path, exists):
    link, place = tmp_path / "link", tmp_path / "there" / "place"
    link.symlink_to(place)
    if exists:
        place.mkdir(parents=True)
    for value in (1.0, 2.0):
        nnx.save(link, nnx.Param(jnp.array(value)), overwrite=value == 2.0)
        assert link.is_symlink()
        assert {p.name for p in tmp_path.iterdir()} == {"link", "there"}
        assert [p.name for p in place.parent.iterdir()] == ["place"]
        for path in (link, place):
            assert nnx.load(path, nnx.Param(jnp.array(0.0))).value == value


def at_once(save, count=4):
    """What each of the threads raised, or None."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            save(number)
        except Exception as error:
            return error
        return None

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_threads_save_to_several_paths(tmp_path):
    for turn in range(3):
        errors = at_once(
            lambda i, turn=turn: nnx.save(
                tmp_path / f"{turn}{i}", [jnp.full(3, i) for _ in range(20)]
            )
        )
        assert errors == [None] * 4
        for i in range(4):
            loaded = nnx.load(tmp_path / f"{turn}{i}", [jnp.zeros(3, int)] * 20)
            assert np.asarray(loaded).tolist() == [[i] * 3] * 20


def test_threads_save_to_one_path(tmp_path):
    errors = at_once(lambda i: nnx.save(tmp_path / "one", jnp.full(3, i)))
    assert sorted(type(e).__name__ for e in errors) == ["FileExistsError"] * 3 + ["NoneType"]
    winner = errors.index(None)
    assert nnx.load(tmp_path / "one", jnp.zeros(3, int)).tolist() == [winner] * 3
    assert (
        at_once(lambda i: nnx.save(tmp_path / "one", jnp.full(3, i), overwrite=True)) == [None] * 4
    )
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_every_dtype(tmp_path):
    names = [
        *["bool", "int2", "uint2", "int4", "uint4", "int8", "uint16", "float16", "bfloat16", "complex64"],
        *["float8_e4m3fn", "float8_e5m2", "float8_e4m3", "float8_e3m4", "float4_e2m1fn"],
    ]  # fmt: skip
    tree = {n: jnp.array(np.array([[1, 0], [0, 1]]).astype(jnp.dtype(n))) for n in names}
    tree |= {f"scalar {n}": x[0, 0] for n, x in tree.items()} | {
        f"empty {n}": x[:0] for n, x in tree.items()
    }
    tree |= {n: np.arange(3).astype(n) for n in ("int64", "uint64", "float64", "complex128", ">f4")}
    tree |= {
        "np": np.float64(0.1),
        "big": 2**70,
        "complex": 1 + 2j,
        "bytes": b"\xff",
        "nan": float("nan"),
    }
    nnx.save(tmp_path / "m", tree)
    loaded = nnx.load(
        tmp_path / "m",
        jax.tree.map(lambda x: jnp.zeros_like(x) if isinstance(x, jax.Array) else x, tree),
    )
    for name, value in tree.items():
        assert type(loaded[name]) is type(value), name
        assert getattr(loaded[name], "dtype", None) == getattr(value, "dtype", None), name
        assert np.shape(loaded[name]) == np.shape(value)
        if hasattr(value, "dtype"):
            assert np.asarray(loaded[name]).tobytes() == np.asarray(value).tobytes(), name
        else:
            assert loaded[name] == value or value != value


def test_shardings(tmp_path):
    mesh = jax.make_mesh((2, 2), ("a", "b"))

    def place(*axes):
        return jax.sharding.NamedSharding(mesh, jax.P(*axes))

    model = nnx.Linear(4, 8, rngs=nnx.Rngs(0))
    spread = nnx.clone(model)
    spread.kernel.value = jax.device_put(model.kernel.value, place("a", "b"))
    nnx.save(tmp_path / "m", spread)
    same(nnx.load(tmp_path / "m", nnx.Linear(4, 8, rngs=nnx.Rngs(1))), model)
    target = nnx.Linear(4, 8, rngs=nnx.Rngs(1))
    target.kernel.value = jax.device_put(target.kernel.value, place("b", None))
    loaded = nnx.load(tmp_path / "m", target)
    assert loaded.kernel.value.sharding == place("b", None)
    same(loaded, model)

    def build():
        return nnx.Linear(4, 8, rngs=nnx.Rngs(1))

    loaded = nnx.load(tmp_path / "m", build, sharding=place())
    assert {v.value.sharding for v in (loaded.kernel, loaded.bias)} == {place()}
    loaded = nnx.load(
        tmp_path / "m",
        build,
        sharding=lambda path, x: place(None, "a") if path == ("kernel",) else None,
    )
    assert loaded.kernel.value.sharding == place(None, "a")
    assert not loaded.bias.value.committed
    same(loaded, model)

    def annotated():
        init = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("a", None))
        return nnx.Linear(4, 8, kernel_init=init, rngs=nnx.Rngs(1))

    for types in ("Auto", "Explicit"):
        mesh = jax.make_mesh(
            (2, 2), ("a", "b"), axis_types=(getattr(jax.sharding.AxisType, types),) * 2
        )
        with jax.set_mesh(mesh):
            loaded = nnx.load(tmp_path / "m", annotated)
        assert loaded.kernel.value.sharding == place("a", None)
        same(loaded, model)


def test_a_misfit_names_paths_and_changes_nothing(tmp_path):
    nnx.save(tmp_path / "m", Net(nnx.Rngs(0)))
    other = Net(nnx.Rngs(1), width=5)
    other.extra = nnx.Param(jnp.ones(1))
    other.backbone = other.layers
    del other.layers
    before = nnx.clone(other)
    with pytest.raises(nnx.LoadError) as caught:
        nnx.load(tmp_path / "m", other)
    same(other, before)
    said = str(caught.value)
    assert "\n" not in said
    assert (
        "5 missing: extra, backbone.0.kernel, backbone.0.bias, backbone.1.kernel, backbone.1.bias;"
        in said
    )
    assert "4 unexpected: layers.0.bias, layers.0.kernel" in said
    assert "encoder.kernel is bfloat16[3,4] and should be bfloat16[3,5]" in said
    assert "and 1 more" in said
    report = nnx.load_report(tmp_path / "m", other)
    assert report == caught.value.report
    assert len(report.mismatched) == 6
    assert not report.complete


def test_a_new_name_is_suggested_and_renamed(tmp_path):
    nnx.save(tmp_path / "m", {"encoder": {"dense": jnp.ones(2), "out": jnp.zeros(3)}, "head": 1})
    target = {"model": {"backbone": {"dense": jnp.zeros(2), "out": jnp.zeros(3)}, "head": 0}}
    report = nnx.load_report(tmp_path / "m", target)
    assert report.renamed["model.backbone.dense"] == "encoder.dense"
    assert "model.backbone.dense (there is encoder.dense)" in str(report)
    rename = {"": "model", "encoder": "model.backbone"}
    assert nnx.load_report(tmp_path / "m", target, rename=rename).complete
    loaded = nnx.load(tmp_path / "m", target, rename=rename)
    assert loaded["model"]["backbone"]["dense"].tolist() == [1, 1]
    assert loaded["model"]["head"] == 1
    with pytest.raises(
        nnx.LoadError, match="no path in the file begins with 'encodr'; did you mean 'encoder'"
    ):
        nnx.load(tmp_path / "m", target, rename={"encodr": "x"})
    with pytest.raises(nnx.LoadError, match=r"would both be encoder\.dense"):
        nnx.load(tmp_path / "m", target, rename={"encoder.out": "encoder.dense"})
    nnx.save(tmp_path / "n", {"model": {"a": 1}})
    assert nnx.load(tmp_path / "n", {"a": 0}, rename={"model": ""}) == {"a": 1}


def test_what_fits_is_loaded_if_not_strict(tmp_path):
    saved = Net(nnx.Rngs(0))
    nnx.save(tmp_path / "m", saved)

    def build(seed=1):
        model = Net(nnx.Rngs(seed))
        model.head = nnx.Linear(4, 2, rngs=nnx.Rngs(9))
        model.layers[1] = nnx.Linear(4, 6, rngs=nnx.Rngs(9))
        del model.norm
        return model

    for target in (build, build()):
        with pytest.warns(
            nnx.LoadWarning, match=r"2 missing: head\.kernel, head\.bias; 4 unexpected: norm"
        ):
            loaded = nnx.load(tmp_path / "m", target, strict=False)
        np.testing.assert_array_equal(loaded.encoder.kernel.value, saved.encoder.kernel.value)
        np.testing.assert_array_equal(loaded.head.kernel.value, build().head.kernel.value)
        np.testing.assert_array_equal(loaded.layers[1].kernel.value, build().layers[1].kernel.value)
    nnx.load(tmp_path / "m", Net(nnx.Rngs(3)), strict=False)  # warns of nothing where all fits


def damaged_copies(tmp_path):
    nnx.save(tmp_path / "m", {"model": nnx.Linear(20, 20, rngs=nnx.Rngs(0))})
    return [p for p in (tmp_path / "m").rglob("*") if p.is_file()]


def test_no_flipped_bit_is_loaded(tmp_path):
    random = np.random.default_rng(0)
    target = {"model": nnx.Linear(20, 20, rngs=nnx.Rngs(1))}
    before = nnx.clone(target["model"])
    for file in damaged_copies(tmp_path):
        content = file.read_bytes()
        if not content:
            continue
        for _ in range(3):
            bad = bytearray(content)
            bad[random.integers(len(bad))] ^= 1 << random.integers(8)
            file.write_bytes(bad)
            with pytest.raises(nnx.LoadError, match=r"cannot be loaded: .*damaged"):
                nnx.load(tmp_path / "m", target)
        file.unlink()
        with pytest.raises(nnx.LoadError, match=r"is missing|has no manifest"):
            nnx.load_report(tmp_path / "m", target)
        file.write_bytes(content)
    same(target["model"], before)
    nnx.load(tmp_path / "m", target)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        nnx.load(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    (tmp_path / "m").mkdir()
    with pytest.raises(nnx.LoadError, match="it has no manifest"):
        nnx.load(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(0)))


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    first = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.save(tmp_path / "m", first)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_manifest", full)
    with pytest.raises(OSError, match=r"was not saved: .*No space left"):
        nnx.save(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(1)), overwrite=True)
    same(nnx.load(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(2))), first)
    assert os.listdir(tmp_path) == ["m"]


def test_an_overwriting_save_killed_between_its_renames_loses_nothing(tmp_path):
    first = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.save(tmp_path / "m", first)
    (tmp_path / "m").rename(tmp_path / ".m.replaced")
    same(nnx.load(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(2))), first)
    second = nnx.Linear(2, 2, rngs=nnx.Rngs(1))
    nnx.save(tmp_path / "m", second, overwrite=True)
    same(nnx.load(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(2))), second)
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.slow
def test_a_killed_save_never_loads_as_complete(tmp_path):
    script = textwrap.dedent(
        """
        import sys, jax.numpy as jnp
        from nnxtrain import nnx
        for i in range(1000):
            nnx.save(sys.argv[1], {"x": jnp.full(1000, i), "y": jnp.full((10, 100), i)}, overwrite=True)
            print(i, flush=True)
        """
    )
    path = tmp_path / "m"
    like = {"x": jnp.zeros(1000, jnp.int32), "y": jnp.zeros((10, 100), jnp.int32)}
    for delay in (0.0, 0.017, 0.04):
        process = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        loaded = nnx.load(path, like)
        assert len({*loaded["x"].tolist(), *loaded["y"].reshape(-1).tolist()}) == 1


def test_frozen_variables_are_not_loaded(tmp_path):
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.save(tmp_path / "m", nnx.Linear(2, 2, rngs=nnx.Rngs(1)))
    before = nnx.clone(model)
    with nnx.frozen(model, nnx.PathContains("bias")), pytest.raises(nnx.FrozenError, match="bias"):
        nnx.load(tmp_path / "m", model)
    same(model, before)


def test_a_gru_saved_without_its_hidden_bias_loads_with_zeros(tmp_path):
    def without_bias():
        cell = nnx.GRUCell(2, 3, rngs=nnx.Rngs(0))
        del cell.b_hn
        return cell

    def fresh():
        cell = nnx.GRUCell(2, 3, rngs=nnx.Rngs(1))
        cell.b_hn.value = jnp.ones(3)
        return cell

    old = without_bias()
    nnx.save(tmp_path / "old", old)
    nnx.save_safetensors(tmp_path / "old.safetensors", old)
    loaded = [
        nnx.load(tmp_path / "old", fresh()),
        nnx.load(tmp_path / "old", lambda: nnx.GRUCell(2, 3, rngs=nnx.Rngs(1))),
        nnx.load_safetensors(tmp_path / "old.safetensors", fresh()),
        nnx.from_bytes(fresh(), nnx.to_bytes(old)),
    ]
    for cell in loaded:
        np.testing.assert_array_equal(cell.b_hn.value, jnp.zeros(3))
        np.testing.assert_array_equal(cell.dense_i.kernel.value, old.dense_i.kernel.value)
    report = nnx.load_report(tmp_path / "old", fresh())
    assert report.complete
    assert report.zeroed == ("b_hn",)
