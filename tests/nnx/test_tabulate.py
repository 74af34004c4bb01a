"""nnx.tabulate: counts, bytes and FLOPs against numpy, formulas and Flax; the model stays as it was."""

import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from nnxtrain import nnx
from nnxtrain.nnx.inspection import tabulate as tabulate_module
from nnxtrain.nnx.inspection.tabulate import Row, filter_rng_streams

WIDE = {"width": 250, "force_terminal": False}


class Block(nnx.Module):
    def __init__(self, din, dout, *, rngs):
        self.linear = nnx.Linear(din, dout, rngs=rngs)
        self.bn = nnx.BatchNorm(dout, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.dropout(self.bn(self.linear(x))))


class Foo(nnx.Module):
    def __init__(self, *, rngs):
        self.block1 = Block(32, 128, rngs=rngs)
        self.block2 = Block(128, 10, rngs=rngs)

    def __call__(self, x):
        return self.block2(self.block1(x))


def read(text):
    """The rows of a table by path, each a dict from column to text (lines joined by a blank)."""
    lines = [line for line in text.splitlines() if line[:1] in "┃│├"]
    names = [cell.strip() for cell in lines[0].strip("┃").split("┃")]
    rows, parts = [], [[] for _ in names]
    for line in [*lines[1:], "├"]:
        if line.startswith("├"):
            rows.append({n: " ".join(filter(None, p)) for n, p in zip(names, parts)})
            parts = [[] for _ in names]
        else:
            for part, cell in zip(parts, line.strip("│").split("│")):
                part.append(cell.strip())
    return names, rows


def table(*args, **kwargs):
    return read(nnx.tabulate(*args, console_kwargs=WIDE, **kwargs))


def by_path(rows):
    return {row["path"]: row for row in rows[:-1]}


def test_the_table_of_a_model():
    names, rows = table(Foo(rngs=nnx.Rngs(0)), jnp.ones((1, 32)))
    assert names == ["path", "type", "inputs", "outputs", "BatchStat", "Param", "RngState"]
    assert [row["path"] for row in rows] == [
        "", "block1", "block1.linear", "block1.bn", "block1.dropout",
        "block2", "block2.linear", "block2.bn", "block2.dropout", "",
    ]  # fmt: skip
    found = by_path(rows)
    assert found[""] == {
        "path": "", "type": "Foo", "inputs": "float32[1,32]", "outputs": "float32[1,10]",
        "BatchStat": "276 (1.1 KB)", "Param": "5,790 (23.2 KB)", "RngState": "4 (24 B)",
    }  # fmt: skip
    assert found["block1.linear"]["Param"] == (
        "kernel: float32[32,128] bias: float32[128] 4,224 (16.9 KB)"
    )
    assert found["block1.bn"]["BatchStat"] == "mean: float32[128] var: float32[128] 256 (1.0 KB)"
    assert found["block1.linear"]["BatchStat"] == ""
    assert found["block1.dropout"]["RngState"] == "2 (12 B)"
    assert rows[-1]["outputs"] == "Total"
    assert rows[-1]["Param"] == "5,790 (23.2 KB)"


def test_sizes_are_those_of_numpy_for_mixed_types():
    class Mixed(nnx.Module):
        def __init__(self, *, rngs):
            self.embed = nnx.Embed(100, 16, param_dtype=jnp.bfloat16, rngs=rngs)
            self.heads = [nnx.Linear(16, n, rngs=rngs) for n in (2, 3)]
            self.loose = (nnx.Param(jnp.ones((5, 7))), nnx.Cache(jnp.zeros(3, jnp.int8)))
            self.array = jnp.ones(11)

        def __call__(self, ids):
            x = self.embed(ids)
            return [head(x) for head in self.heads]

    model = Mixed(rngs=nnx.Rngs(0))
    _, rows = table(model, jnp.zeros((2, 4), jnp.int32))
    for kind in (nnx.Param, nnx.Cache):
        leaves = [np.asarray(v[...]) for _, v in nnx.to_flat_state(nnx.state(model, kind))]
        count, size = sum(v.size for v in leaves), sum(v.nbytes for v in leaves)
        text = rows[-1][kind.__name__]
        assert text.startswith(f"{count:,} (")
        assert text.endswith(f"({size} B)" if size < 1000 else f"({size / 1000:.1f} KB)")
    assert rows[-1]["Array"] == "11 (44 B)"
    found = by_path(rows)
    assert found[""]["Param"].startswith("loose.0: float32[5,7] ")
    assert found[""]["Cache"].startswith("loose.1: int8[3] ")
    assert found[""]["outputs"] == "- float32[2,4,2] - float32[2,4,3]"
    assert found["embed"]["Param"] == "embedding: bfloat16[100,16] 1,600 (3.2 KB)"
    assert found["heads.1"]["Param"].endswith(" 51 (204 B)")


def snapshot(model):
    return [(id(v), id(v[...])) for v in jax.tree.leaves(nnx.variables(model), is_leaf=is_variable)]


def is_variable(value):
    return isinstance(value, nnx.Variable)


def test_the_model_and_its_classes_stay_as_they_were():
    model = Foo(rngs=nnx.Rngs(0))
    before, structure = snapshot(model), nnx.graphdef(model)
    call = Block.__call__
    nnx.tabulate(model, jnp.ones((4, 32)), compute_flops=True, compute_vjp_flops=True)
    assert snapshot(model) == before
    assert nnx.graphdef(model) == structure
    assert type(model) is Foo
    assert type(model.block1.linear) is nnx.Linear
    assert Block.__call__ is call
    count = model.block1.dropout.rngs.count[...]
    assert int(count) == 0


def test_an_exception_leaves_nothing_behind():
    model = Foo(rngs=nnx.Rngs(0))
    before = snapshot(model)
    with pytest.raises(ValueError, match="Linear takes"):
        nnx.tabulate(model, jnp.ones((4, 31)))
    assert snapshot(model) == before
    model.eval()
    assert model(jnp.ones((4, 32))).shape == (4, 10)
    assert len(read(nnx.tabulate(model, jnp.ones((4, 32)), console_kwargs=WIDE))[1]) == 10


def test_nothing_is_computed():
    model = nnx.eval_shape(lambda: Foo(rngs=nnx.Rngs(0)))
    events = []
    listener = lambda event, _, **__: events.append(event)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        text = nnx.tabulate(
            model, jax.ShapeDtypeStruct((1, 32), jnp.float32),
            compute_flops=True, compute_vjp_flops=True, console_kwargs=WIDE,
        )  # fmt: skip
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert not [event for event in events if "backend_compile" in event]
    assert read(text)[1][-1]["Param"] == "5,790 (23.2 KB)"
    assert isinstance(model.block1.linear.kernel[...], jax.ShapeDtypeStruct)


def test_shared_layers_are_counted_once_and_calls_with_the_same_types_are_one_row():
    class Tied(nnx.Module):
        def __init__(self, *, rngs):
            self.encoder = nnx.Linear(4, 4, rngs=rngs)
            self.decoder = self.encoder
            self.head = nnx.Linear(4, 2, rngs=rngs)
            self.head.bias = self.encoder.bias

        def __call__(self, x):
            for _ in range(3):
                x = self.encoder(x)
            self.decoder(x[:1])
            return x @ self.head.kernel

    _, rows = table(Tied(rngs=nnx.Rngs(0)), jnp.ones((2, 4)))
    assert [row["path"] for row in rows] == ["", "encoder 3 calls", "encoder", ""]
    assert [row["inputs"] for row in rows[1:3]] == ["float32[2,4]", "float32[1,4]"]
    assert rows[0]["Param"] == f"{16 + 4 + 8} ({4 * 28} B)"
    assert rows[-1]["Param"] == "28 (112 B)"


class Transformed(nnx.Module):
    """Calls a layer inside each kind of transform."""

    def __init__(self, how, *, rngs):
        self.how = how
        self.layer = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x):
        run = lambda layer, x: layer(x)  # noqa: E731
        if self.how == "jit":
            return nnx.jit(run)(self.layer, x)
        if self.how == "remat":
            return nnx.remat(run)(self.layer, x)
        if self.how == "grad":
            return nnx.grad(lambda layer, x: layer(x).sum())(self.layer, x)
        if self.how == "vmap":
            return nnx.vmap(run, in_axes=(None, 0))(self.layer, x)
        if self.how == "jax.vmap":
            return jax.vmap(self.layer)(x)
        if self.how == "jax.checkpoint":
            return jax.checkpoint(run)(self.layer, x)
        return nnx.cond(x.sum() > 0, run, run, self.layer, x)


@pytest.mark.parametrize(
    "how", ["jit", "remat", "grad", "vmap", "jax.vmap", "jax.checkpoint", "cond"]
)
def test_calls_inside_transforms_are_seen(how):
    _, rows = table(Transformed(how, rngs=nnx.Rngs(0)), jnp.ones((2, 3)), compute_flops=True)
    row = next(row for row in rows if row["path"].startswith("layer"))
    batch = () if "vmap" in how else (2,)
    shape = ",".join(map(str, (*batch, 3)))
    assert row["inputs"] == row["outputs"] == f"float32[{shape}]"
    assert row["Param"].endswith("12 (48 B)")
    rows_in = 1 if "vmap" in how else 2
    assert row["flops"] == str(2 * rows_in * 3 * 3 + rows_in * 3)


def test_methods_and_which_of_them():
    class Auto(nnx.Module):
        def __init__(self, *, rngs):
            self.enc = nnx.Linear(4, 2, rngs=rngs)
            self.dec = nnx.Linear(2, 4, rngs=rngs)

        def encode(self, x):
            return self.enc(x)

        def decode(self, z, scale=1.0):
            return self.dec(z) * scale

        @nnx.jit
        def __call__(self, x):
            return self.decode(self.encode(x), scale=2.0)

        def _private(self, x):
            return x

        @staticmethod
        def helper(x):
            return x

    model = Auto(rngs=nnx.Rngs(0))
    _, rows = table(model, jnp.ones((1, 4)))
    assert [row["path"] for row in rows] == ["", "encode", "enc", "decode", "dec", ""]
    assert rows[3]["inputs"] == "float32[1,2] scale: 2.0"
    _, rows = table(model, jnp.ones((1, 4)), method="encode")
    assert [row["path"] for row in rows] == ["encode", "enc", ""]
    assert rows[-1]["Param"] == "22 (88 B)"  # of the whole model
    with pytest.raises(AttributeError, match="Auto has no method 'encoder'"):
        nnx.tabulate(model, jnp.ones((1, 4)), method="encoder")
    with pytest.raises(TypeError, match="needs an nnx object; it got a function"):
        nnx.tabulate(lambda x: x, 1)


def test_flags_are_static_and_other_objects_can_be_arguments():
    class Switch(nnx.Module):
        def __init__(self, *, rngs):
            self.a = nnx.Linear(2, 2, rngs=rngs)
            self.dropout = nnx.Dropout(0.5)

        def __call__(self, x, *, train, rngs, name="x"):
            x = self.a(x)
            return self.dropout(x, rngs=rngs) if train else x

    model = Switch(rngs=nnx.Rngs(0))
    rngs = nnx.Rngs(0)
    _, rows = table(model, jnp.ones((1, 2)), train=True, rngs=rngs)
    assert [row["path"] for row in rows] == ["", "a", "dropout", ""]
    assert "train: True" in rows[0]["inputs"]
    assert "rngs: Rngs(...)" in rows[0]["inputs"]
    assert int(rngs.default.count[...]) == 0
    _, rows = table(model, jnp.ones((1, 2)), train=False, rngs=rngs)
    assert [row["path"] for row in rows] == ["", "a", ""]


def test_depth_and_row_filter():
    model, x = Foo(rngs=nnx.Rngs(0)), jnp.ones((1, 32))
    _, rows = table(model, x, depth=1)
    assert [row["path"] for row in rows] == ["", "block1", "block2", ""]
    assert len(table(model, x, depth=0)[1]) == 2
    seen: list[Row] = []
    _, rows = table(model, x, row_filter=lambda row: seen.append(row) or row.type is nnx.Linear)
    assert [row["path"] for row in rows] == ["block1.linear", "block2.linear", ""]
    streams = [row for row in seen if row.type is nnx.RngStream]
    assert len(streams) == 2
    assert not any(map(filter_rng_streams, streams))
    assert all(filter_rng_streams(row) for row in seen if row.type is not nnx.RngStream)
    first = seen[0]
    assert (first.path, first.type, first.call_order, first.calls) == ((), Foo, 0, 1)
    assert first.outputs.shape == (1, 10)
    assert first.flops is None


def flops(model, *args, **kwargs):
    _, rows = table(model, *args, compute_flops=True, compute_vjp_flops=True, **kwargs)
    return tuple(int(rows[0][name].replace(",", "")) for name in ("flops", "vjp_flops"))


@pytest.mark.parametrize(("batch", "din", "dout"), [(2, 4, 8), (7, 5, 3)])
def test_flops_of_a_linear_layer(batch, din, dout):
    forward, backward = flops(nnx.Linear(din, dout, rngs=nnx.Rngs(0)), jnp.ones((batch, din)))
    product = 2 * batch * din * dout
    assert forward == product + batch * dout
    assert backward == 3 * product + batch * dout + (batch - 1) * dout  # the bias' is a sum


@pytest.mark.parametrize("groups", [1, 2])
def test_flops_of_a_convolution(groups):
    conv = nnx.Conv(
        4, 6, (3, 3), strides=2, padding="VALID", feature_group_count=groups, rngs=nnx.Rngs(0)
    )
    forward, _ = flops(conv, jnp.ones((2, 9, 11, 4)))
    outputs = 2 * 4 * 5 * 6
    assert forward == outputs * 2 * 3 * 3 * (4 // groups) + outputs


def test_flops_of_a_convolution_do_not_count_its_padding():
    conv = nnx.Conv(1, 1, (3,), use_bias=False, rngs=nnx.Rngs(0))
    assert flops(conv, jnp.ones((1, 5, 1)))[0] == 2 * (5 * 3 - 2)


def test_flops_of_a_model_include_those_of_its_layers():
    model = nnx.Sequential(*[nnx.Linear(4, 4, rngs=nnx.Rngs(0)) for _ in range(3)])
    assert flops(model, jnp.ones((2, 4)))[0] == 3 * (2 * 2 * 16 + 8)


def test_layers_that_are_built_alike_are_lowered_once(monkeypatch):
    counted = []
    monkeypatch.setattr(tabulate_module, "forward_flops", lambda work: counted.append(1) or 7)
    same = [nnx.Linear(4, 4, rngs=nnx.Rngs(0)) for _ in range(3)]
    model = nnx.Sequential(*same, nnx.Linear(4, 4, use_bias=False, rngs=nnx.Rngs(0)))
    _, rows = table(model, jnp.ones((2, 4)), compute_flops=True)
    assert [row["flops"] for row in rows[:-1]] == ["7"] * 5
    assert len(counted) == 3  # the model, the layers with a bias, the one without


def test_two_threads_do_not_see_each_other():
    def run(seed):
        model = nnx.Sequential(*[nnx.Linear(3, 3, rngs=nnx.Rngs(seed)) for _ in range(seed + 1)])
        return len(table(model, jnp.ones((1, 3)))[1])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [3, 4, 5, 6]


def test_a_result_of_integers_has_no_gradient():
    class Argmax(nnx.Module):
        def __call__(self, x):
            return jnp.argmax(x)

    assert flops(Argmax(), jnp.ones(3))[1] >= 0


@pytest.mark.parametrize("width", [200, 140, 80, 40])
def test_each_line_fits_the_width(width):
    text = nnx.tabulate(
        Foo(rngs=nnx.Rngs(0)), jnp.ones((1, 32)), compute_flops=True, compute_vjp_flops=True,
        console_kwargs={"width": width},
    )  # fmt: skip
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    for word in ("block2.linear", "float32[128,10]", "5,790", "(23.2 KB)"):
        assert word in text
    assert ("┃" in text) == (width >= 140)


def test_as_wide_as_it_needs_without_a_terminal_and_with_colours_on_one(monkeypatch):
    model, x = Foo(rngs=nnx.Rngs(0)), jnp.ones((1, 32))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = nnx.tabulate(model, x)
    assert "\x1b" not in text
    assert "│ block1.linear  │ Linear" in text
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, nnx.tabulate(model, x).splitlines())) <= 60

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert "\x1b[1m" in nnx.tabulate(model, x)
    assert "\x1b" not in nnx.tabulate(model, x, console_kwargs={"force_terminal": False})


def test_table_and_column_options_reach_rich():
    text = nnx.tabulate(
        nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jnp.ones((1, 2)), console_kwargs=WIDE,
        table_kwargs={"title": "My layer", "caption": "that is all"},
        column_kwargs={"justify": "right"},
    )  # fmt: skip
    assert "My layer" in text
    assert "that is all" in text
    assert "Linear Summary" not in text
    assert re.search(r"│ +9 \(36 B\) │", text)


def test_recurrent_layers_and_attention():
    cell = nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0))
    _, rows = table(nnx.RNN(cell), jnp.ones((2, 5, 3)))
    found = [row["path"] for row in rows]
    assert found[0] == ""
    assert any(path.startswith("cell") for path in found)
    attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))
    _, rows = table(attention, jnp.ones((1, 5, 8)))
    assert {"query", "key", "value", "out"} <= {row["path"] for row in rows}
    assert rows[-1]["Param"].startswith(f"{4 * 8 * 8 + 4 * 8:,} (")


def test_a_class_may_have_hooks_and_slots_of_its_own():
    made = []

    class Registered(nnx.Module):
        def __init_subclass__(cls, *, tag, **kwargs):
            super().__init_subclass__(**kwargs)
            made.append(tag)

    class Layer(Registered, tag="layer"):
        def __init__(self):
            self.scale = nnx.Param(jnp.ones(2))

        def __call__(self, x):
            return jax.tree.map(lambda v: v * x, self).scale[...] + super().__getattribute__(
                "scale"
            )

    for _ in range(2):
        _, rows = table(Layer(), jnp.ones(2))
        assert [row["type"] for row in rows[:-1]] == ["Layer"]
    assert made == ["layer"]


def test_the_numbers_of_flax():
    flax = pytest.importorskip("flax.nnx")

    def models(lib):
        rngs = lib.Rngs(0)
        yield lib.Linear(4, 8, rngs=rngs), (2, 4)
        yield lib.Sequential(lib.Linear(4, 8, rngs=rngs), lib.BatchNorm(8, rngs=rngs)), (3, 4)
        yield lib.LayerNorm(6, rngs=rngs), (3, 6)
        yield lib.Conv(3, 5, (3, 3), rngs=rngs), (2, 8, 8, 3)
        yield lib.MultiHeadAttention(2, 8, decode=False, rngs=rngs), (1, 5, 8)

    for (ours, shape), (theirs, _) in zip(models(nnx), models(flax)):
        vjp = "Attention" not in type(ours).__name__  # there Flax's own count raises a TypeError
        options = {"compute_flops": True, "compute_vjp_flops": vjp, "console_kwargs": WIDE}
        _, mine = read(nnx.tabulate(ours, jnp.ones(shape), **options))
        _, other = read(flax.tabulate(theirs, jnp.ones(shape), **options))
        assert mine[-1]["Param"] == other[-1]["Param"]
        expected = {row["path"].replace("/", "."): row for row in other[:-1]}
        for row in mine[:-1]:
            same = expected[row["path"]]
            same["inputs"] = same["inputs"].removeprefix("- ")  # before keywords Flax puts a dash
            assert (row["type"], row["inputs"], row["outputs"]) == (
                same["type"], same["inputs"], same["outputs"],
            )  # fmt: skip
            if row["type"] in ("Linear", "LinearGeneral"):
                assert row["flops"].replace(",", "") == same["flops"]
                assert row.get("vjp_flops", "").replace(",", "") == same.get("vjp_flops", "")
