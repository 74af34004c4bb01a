"""What nnx.display and repr show: counts, bytes and statistics against numpy, at several widths, on several streams."""

import io
import re
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from nnxtrain import nnx
from nnxtrain.nnx.inspection import display as display_module
from nnxtrain.nnx.inspection import summaries as summaries_module
from nnxtrain.nnx.inspection.layout import lay_out, plain
from nnxtrain.nnx.inspection.outline import outline
from nnxtrain.nnx.inspection.summaries import summaries


class Linear(nnx.Module):
    def __init__(self, din, dout, *, rngs):
        self.w = nnx.Param(jax.random.uniform(rngs.params(), (din, dout)))
        self.b = nnx.Param(jnp.zeros((dout,)))
        self.din, self.dout = din, dout

    def __call__(self, x):
        return x @ self.w + self.b


class MLP(nnx.Module):
    def __init__(self, *, rngs):
        self.linear1 = Linear(2, 16, rngs=rngs)
        self.dropout = nnx.Dropout(rate=0.1, rngs=rngs)
        self.bn = nnx.BatchNorm(16, rngs=rngs)
        self.linear2 = Linear(16, 5, rngs=rngs)


def shown(value, capsys, width=None, monkeypatch=None):
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
    nnx.display(value)
    return capsys.readouterr().out


def test_the_counts_of_the_introduction_at_each_level(capsys, monkeypatch):
    text = shown(MLP(rngs=nnx.Rngs(0)), capsys, 120, monkeypatch)
    assert text.startswith(
        "MLP( # Param: 165 (660 B), RngState: 2 (12 B), BatchStat: 32 (128 B), Total: 199 (800 B)\n"
    )
    assert "  linear1=Linear( # Param: 48 (192 B)\n" in text
    assert "  dropout=Dropout( # RngState: 2 (12 B)\n" in text
    assert "  bn=BatchNorm( # BatchStat: 32 (128 B), Param: 32 (128 B), Total: 64 (256 B)\n" in text
    assert "  linear2=Linear( # Param: 85 (340 B)\n" in text
    assert "b=Param(float32[16] ≈0.0 ±0.0 [≥0.0, ≤0.0] zero:16)," in text
    assert "    din=2, dout=16,\n" in text


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8])
@pytest.mark.parametrize("on_device", [False, True])
def test_statistics_are_those_of_numpy(dtype, on_device, monkeypatch):
    monkeypatch.setattr(summaries_module, "ON_DEVICE", 0 if on_device else 1 << 20)
    values = jnp.asarray(np.random.default_rng(0).normal(50, 20, (7, 9)).clip(0, 200), dtype)
    values = values.at[0, 0].set(0)
    (text,) = summaries([values])
    exact = np.asarray(values, np.float64)
    mean, std, low, high = map(float, re.match(r"≈(\S+) ±(\S+) \[≥(\S+), ≤(\S+)\]", text).groups())
    np.testing.assert_allclose(mean, exact.mean(), rtol=0.06)  # two digits
    np.testing.assert_allclose(std, exact.std(), rtol=0.06)
    if jnp.issubdtype(dtype, jnp.integer):
        assert (low, high) == (exact.min(), exact.max())
    else:
        np.testing.assert_allclose((low, high), (exact.min(), exact.max()), rtol=0.06)
    zeros = int((exact == 0).sum())
    assert text.endswith(f" zero:{zeros} nonzero:{exact.size - zeros}")


def test_statistics_of_what_is_not_finite_of_flags_and_of_complex_numbers():
    odd = jnp.array([jnp.nan, jnp.inf, -jnp.inf, 0.0, 2.0, 4.0])
    assert summaries([odd]) == ["≈2.0 ±1.6 [≥0.0, ≤4.0] zero:1 nonzero:2 nan:1 inf:2"]
    assert summaries([jnp.full(3, jnp.nan)]) == ["nan:3"]
    assert summaries([jnp.array([True, False, True])]) == ["true:2 false:1"]
    assert summaries([jnp.array([0, 1j])]) == ["zero:1 nonzero:1"]
    assert summaries([jnp.zeros((0, 3)), jnp.asarray(2.5), np.ones(2)]) == [
        "", "=2.5", "≈1.0 ±0.0 [≥1.0, ≤1.0] nonzero:2",
    ]  # fmt: skip
    assert summaries([jnp.ones(2, jnp.int4), jnp.full(2, 2.0, jnp.float8_e4m3fn)]) == [
        "≈1.0 ±0.0 [≥1, ≤1] nonzero:2", "≈2.0 ±0.0 [≥2.0, ≤2.0] nonzero:2",
    ]  # fmt: skip


def test_one_transfer_for_a_whole_model(monkeypatch):
    fetched = []
    get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(1) or get(tree))
    outline(MLP(rngs=nnx.Rngs(0)), values=True)
    assert len(fetched) == 1


@pytest.mark.parametrize("width", [200, 80, 40, 20])
def test_each_line_fits_the_width_and_nothing_is_lost(width):
    model = MLP(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    for value in (model, optimizer, nnx.state(model), nnx.graphdef(model)):
        entry = outline(value, values=True)
        text = plain(lay_out(entry, width))
        assert max(map(len, text.splitlines())) <= width
        if width >= 40:
            assert "…" not in text
            wide = plain(lay_out(entry))
            assert _words(text) == _words(wide)


def _words(text):
    return "".join(text.split()).replace("#", "")


def test_a_long_word_is_cut_to_the_width():
    module = nnx.Module()
    module.name = "x" * 100
    text = plain(lay_out(outline(module, values=False), 40))
    assert "…" in text
    assert max(map(len, text.splitlines())) <= 40


def test_a_deep_model_in_a_narrow_window_keeps_room_for_text():
    module = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    for _ in range(30):
        outer = nnx.Module()
        outer.inner = module
        module = outer
    text = plain(lay_out(outline(module, values=True), 40))
    assert max(map(len, text.splitlines())) <= 40
    assert "kernel=Param(float32[2,2]" in text


def test_no_colour_codes_in_a_pipe_whatever_the_environment_says(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    text = shown(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), capsys)
    assert "\x1b" not in text
    assert "kernel=Param(float32[2,3] ≈" in text


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_colours_on_a_terminal_and_the_same_text(capsys, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    model = MLP(rngs=nnx.Rngs(0))
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    nnx.display(model)
    monkeypatch.undo()
    assert "\x1b[1;36mMLP\x1b[0m" in terminal.getvalue()
    without = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert without == plain(lay_out(outline(model, values=True), 80)) + "\n"


def test_a_stream_that_cannot_write_the_signs_gets_ascii(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    nnx.display(nnx.Param(jnp.array([1.0, 3.0])))
    stream.flush()
    written = stream.buffer.getvalue().decode("ascii")
    assert written == "Param(float32[2] ~2.0 +-1.0 [>=1.0, <=3.0] nonzero:2)\n"


class Node(nnx.Module):
    def __init__(self):
        self.leaf = nnx.Param(jnp.ones(3))
        self.again = self.leaf
        self.up = self
        self.child = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
        self.twin = self.child


def test_what_is_shared_is_shown_and_counted_once_and_cycles_end(capsys):
    text = shown(Node(), capsys)
    assert text.startswith("Node( # Param: 9 (36 B)\n")
    assert "  again=Param(same as leaf),\n" in text
    assert "  up=Node(same as the whole),\n" in text
    assert "  twin=Linear(same as child),\n" in text
    assert text.count("kernel=") == 1
    described = plain(lay_out(outline(nnx.graphdef(Node()), values=False)))
    assert "again=Param(same as leaf)" in described
    assert "up=Node(same as the whole)" in described


def test_abstract_and_traced_values_have_no_statistics(capsys):
    model = nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    text = shown(model, capsys)
    assert text.startswith("Linear( # Param: 9 (36 B)\n")
    assert "kernel=Param(float32[2,3] abstract),\n" in text

    @nnx.jit
    def step(model, x):
        nnx.display(model, x)
        return x

    step(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jnp.ones(2))
    text = capsys.readouterr().out
    assert "kernel=Param(float32[2,3] traced),\n" in text
    assert text.endswith("float32[2] traced\n")


def test_a_deleted_array_is_said_to_be_deleted(capsys):
    variable = nnx.Param(jnp.ones(4))
    variable.value.delete()
    assert shown(variable, capsys) == "Param(float32[4] deleted)\n"


def test_shardings_worth_a_word(capsys):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.device_put(jnp.ones((8, 2)), NamedSharding(mesh, P("data", None)))
    assert "float32[8,2] P('data', None) over (data: 4) ≈1.0" in shown(nnx.Param(rows), capsys)
    there = jax.device_put(jnp.ones(2), jax.devices()[1])
    assert shown(there, capsys).startswith("float32[2] on cpu:1 ≈1.0")
    assert shown(jnp.ones(2), capsys).startswith("float32[2] ≈1.0")
    metadata = nnx.Param(jnp.ones(2), sharding_names=("data",))
    assert shown(metadata, capsys).endswith(" sharding_names=('data',))\n")


def test_states_pytrees_optimizers_and_plain_values(capsys):
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    assert shown(nnx.state(model), capsys).startswith(
        "State( # Param: 9 (36 B)\n  kernel=Param(float32[2,3] ≈"
    )
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    text = shown(optimizer, capsys)
    assert "0=ScaleByAdamState( # OptArray: 1 (4 B), OptVariable: 18 (72 B)" in " ".join(
        text.split()
    )
    text = shown({"a": [jnp.ones(2), None], "b": (np.zeros(3, np.int64), "name")}, capsys)
    assert text.startswith(
        "dict( # Array: 5 (32 B)\n  a=list( # Array: 2 (8 B)\n    0=float32[2] ≈1.0"
    )
    assert shown((1, "two"), capsys) == "(1, 'two')\n"
    held = nnx.Intermediate((jnp.ones(2), jnp.zeros(3)))
    text = shown(held, capsys)
    assert text.startswith("Intermediate( # Intermediate: 5 (20 B)\n  0=float32[2] ≈1.0")


def test_static_values_are_named_and_a_broken_repr_does_no_harm(capsys):
    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    module = nnx.Module()
    module.activation, module.dtype, module.odd = nnx.relu, jnp.bfloat16, Broken()
    module.lines = "a\nb"
    text = shown(module, capsys)
    assert text == "Module(\n  activation=relu, dtype=bfloat16, odd=<Broken>, lines='a\\nb',\n)\n"


def test_repr_looks_at_no_value(monkeypatch):
    model = MLP(rngs=nnx.Rngs(0))
    monkeypatch.setattr(jax, "device_get", lambda tree: pytest.fail("repr fetched an array"))
    text = repr(model)
    assert text.startswith("MLP( # Param: 165 (660 B)")
    assert "    w=Param(float32[2,16]),\n" in text
    assert "\x1b" not in text


def test_repr_shows_equal_neighbours_once_and_cuts_what_is_long():
    class Stack(nnx.Module):
        def __init__(self, sizes):
            self.layers = [nnx.Linear(n, n, rngs=nnx.Rngs(0)) for n in sizes]

    text = repr(Stack([2, 2, 2, 3]))
    assert "    0..2=3 x Linear( # Param: 6 (24 B)\n" in text
    assert "    3=Linear( # Param: 12 (48 B)\n" in text
    assert text.startswith("Stack( # Param: 30 (120 B)\n")
    lines = repr(Stack(range(1, 101))).splitlines()
    assert len(lines) == display_module.MAX_REPR_LINES + 1
    assert re.fullmatch(r"\.\.\. and \d+ more lines; nnx.display shows all", lines[-1])


class Notebook:
    """What IPython is, as far as display looks at it."""

    def __init__(self, monkeypatch):
        self.shown = []
        ipython = types.ModuleType("IPython")
        ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
        inner = types.ModuleType("IPython.display")
        inner.display = lambda data, raw: self.shown.append(data)
        ipython.display = inner
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", inner)


def test_a_notebook_without_treescope_gets_html_and_one_hint(monkeypatch, capsys):
    notebook = Notebook(monkeypatch)
    monkeypatch.setitem(sys.modules, "treescope", None)
    monkeypatch.setattr(display_module._Hint, "given", False)
    module = nnx.Module()
    module.name = "<script>"
    nnx.display(module, nnx.Param(jnp.ones(2)))
    first, second = notebook.shown
    assert "pip install &#x27;" in first["text/html"] or "pip install '" in first["text/html"]
    assert "pip install" not in second["text/html"]
    assert "<script>" not in first["text/html"]
    assert "&lt;script&gt;" in first["text/html"]
    assert second["text/plain"] == "Param(float32[2] ≈1.0 ±0.0 [≥1.0, ≤1.0] nonzero:2)"
    assert capsys.readouterr().out == ""


def test_ipython_in_a_terminal_is_a_terminal(monkeypatch, capsys):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert shown(jnp.asarray(3), capsys) == "int32[] =3\n"


def test_treescope_renders_modules_states_and_graphdefs():
    treescope = pytest.importorskip("treescope")
    from nnxtrain.nnx.inspection.notebook import nnx_rendering

    node = Node()
    with nnx_rendering():
        text = treescope.render_to_text(node)
    assert text.startswith("Node( # Param: 9 (36 B)\n")
    assert "kernel=Param(" in text
    assert text.count("kernel=") == 1
    assert "twin=Linear(same as child)" in text
    for value, start in ((nnx.state(node.child), "State("), (nnx.graphdef(node), "Node(")):
        with nnx_rendering():
            assert treescope.render_to_text(value).startswith(start)
    with nnx_rendering():
        assert "Param" in treescope.render_to_html([node.leaf], compressed=False)
    assert "Node" not in str(treescope.active_renderer.get().handlers)  # nothing stays behind


def test_treescope_by_itself_shows_objects_as_display_does():
    treescope = pytest.importorskip("treescope")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    model.self = model
    text = treescope.render_to_text({"model": model, "state": nnx.state(model)})
    assert "Linear( # Param: 9 (36 B)" in text
    assert (
        text.count("kernel=") == 2
    )  # once in the model, though it refers to itself, and once in the state
    assert "State( # Param: 9 (36 B)" in text
