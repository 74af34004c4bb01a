"""``nnxtrain export``: a real run, its folder, and other processes that load it."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import nnxtrain
from nnxtrain import nnx
from nnxtrain.cli.main import main
from nnxtrain.errors import InputError, RunError
from nnxtrain.exporting import export as module
from nnxtrain.training.restore import restore_model

DATA = ["data=synthetic", "data.shape=[4,3,2]", "data.num_classes=3", "data.size=120"]
MODEL = ["model=mlp", "model.hidden=[]", "trainer.ema=0.5"]
SHORT = [
    "trainer.epochs=null",
    "trainer.steps=4",
    "trainer.batch_size=8",
    "trainer.eval_every=2",
    "trainer.keep_last=2",
]
FILES = ["load.py", "model.json", "model.stablehlo", "weights.safetensors"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    return nnxtrain.fit([*DATA, *MODEL, *SHORT, f"runs_dir={root}/runs"]).directory


@pytest.fixture(scope="module")
def exported(run):
    return nnxtrain.export(run, checkpoint="last")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2), dtype=np.uint8)


def expected(run, x):
    """What the run's one linear layer makes of bytes, by NumPy."""
    session, state, _ = restore_model(run, checkpoint="last")
    spec = session.splits.train.spec
    (layer,) = state.averaged.linears
    standardized = ((x / 255 - spec.mean) / spec.std).reshape(len(x), -1)
    return standardized @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def by_itself(code, *argv, **options):
    """Run Python where nnxtrain cannot be imported from a checkout."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules['nnxtrain'] = None\n{code}", *argv],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_folder(run, exported):
    assert exported.path == run / "export"
    assert sorted(os.listdir(exported.path)) == FILES
    assert not [name for name in os.listdir(run) if name.startswith(".export")]
    told = json.loads((exported.path / "model.json").read_text())
    assert told["run"] == run.name
    assert (told["step"], told["class_names"]) == (4, ["0", "1", "2"])
    assert told["program"]["inputs"] == [{"name": "input", "shape": ["b", 4, 3, 2], "dtype": "uint8"}]  # fmt: skip
    assert told["program"]["output"] == {"name": "logits", "shape": ["b", 3], "dtype": "float32"}
    assert told["program"]["platforms"] == ["cpu", "cuda", "tpu"]
    assert set(told["metrics"]["val"]) == {"loss", "accuracy"}
    assert told["check"]["examples"] == 8
    assert told["check"]["relative"] < 1e-5
    assert set(told["files"]) == {*FILES} - {"model.json"}
    for name, entry in told["files"].items():
        content = (exported.path / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_load_py_in_a_process_without_nnxtrain(run, exported, images, tmp_path):
    np.save(tmp_path / "in.npy", images)
    code = "import runpy\npath, *sys.argv[1:] = sys.argv[1:]\nrunpy.run_path(path, run_name='__main__')"
    by_itself(code, exported.path / "load.py", "in.npy", "out.npy", cwd=tmp_path)  # fmt: skip
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected(run, images), rtol=1e-4, atol=1e-5)  # fmt: skip


def test_the_printed_lines(run, images, tmp_path, capsys):
    out = tmp_path / "a folder"
    argv = ["export", f"run={run}", f"out={out}", "checkpoint=last"]
    assert main([*argv, "--weights", "separate", "--platforms", "cpu"]) == 0
    text = capsys.readouterr().out
    assert f"exported step 4: {out}\n  uint8[b, 4, 3, 2] -> logits float32[b, 3], for cpu\n" in text
    assert "loaded again without nnxtrain: 8 examples, largest difference " in text
    lines = text.partition("use it:\n")[2].replace("\n  ", "\n").strip()
    np.save(tmp_path / "in.npy", images)
    code = f"import numpy\nx = numpy.load('in.npy')\n{lines}\nnumpy.save('out.npy', logits)"
    by_itself(code, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected(run, images), rtol=1e-4, atol=1e-5)  # fmt: skip


def test_the_weights_load_into_the_model(run, exported):
    state = restore_model(run, checkpoint="last").state
    model = nnx.clone(state.model)
    nnx.load_safetensors(exported.path / "weights.safetensors", model, nnx.Not(nnx.RngState))
    (found,), (averaged,) = model.linears, state.averaged.linears
    np.testing.assert_array_equal(found.kernel, averaged.kernel)
    assert not np.array_equal(found.kernel, state.model.linears[0].kernel)


def test_nothing_is_overwritten_unasked(run, exported, capsys, tmp_path):
    before = {name: os.stat(exported.path / name).st_mtime_ns for name in FILES}
    assert main(["export", f"run={run}"]) == 2
    line = f"error: out={exported.path} exists already; --force replaces it\n"
    assert capsys.readouterr().err == line
    assert {name: os.stat(exported.path / name).st_mtime_ns for name in FILES} == before

    (tmp_path / "thesis.tex").write_text("all of it")
    assert main(["export", f"run={run}", f"out={tmp_path}", "--force"]) == 2
    assert "holds something else than an export" in capsys.readouterr().err
    assert main(["export", f"run={run}", f"out={tmp_path}/thesis.tex", "--force"]) == 2
    assert "is a file; choose a folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_force_replaces_an_export(run, tmp_path):
    options = {"platforms": ["cpu"], "batch": 2}
    first = nnxtrain.export(run, tmp_path / "out", checkpoint=2, **options)
    second = nnxtrain.export(run, tmp_path / "out", checkpoint=4, overwrite=True, **options)
    assert (first.step, second.step) == (2, 4)
    told = json.loads((tmp_path / "out" / "model.json").read_text())
    assert told["step"] == 4
    assert told["program"]["inputs"][0]["shape"] == [2, 4, 3, 2]
    assert os.listdir(tmp_path) == ["out"]


def test_a_program_that_differs_is_not_published(run, tmp_path, monkeypatch):
    write = module.load_script
    monkeypatch.setattr(module, "load_script", lambda p: write(p).replace("call(x)", "call(x) * 1.0001"))  # fmt: skip
    with pytest.raises(RunError, match=r"differs from the model by \S+ \(\S+ of the largest number"):  # fmt: skip
        nnxtrain.export(run, tmp_path / "out", platforms=["cpu"])
    monkeypatch.setattr(module, "load_script", lambda p: "import nnxtrain\n" + write(p))
    with pytest.raises(RunError, match=r"cannot be loaded again: load\.py imports"):
        nnxtrain.export(run, tmp_path / "out", platforms=["cpu"])
    assert os.listdir(tmp_path) == []


def test_without_safetensors(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_has_safetensors", lambda: False)
    assert main(["export", f"run={run}", f"out={tmp_path}/out", "--platforms", "cpu"]) == 0
    assert 'no weights.safetensors; pip install "nnxtrain[safetensors]" adds it' in capsys.readouterr().out  # fmt: skip
    assert sorted(os.listdir(tmp_path / "out")) == FILES[:-1]
    with pytest.raises(InputError, match=r"--weights separate needs the package safetensors"):
        nnxtrain.export(run, tmp_path / "other", weights="separate")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["run=nowhere"], "run 'nowhere' does not exist"),
        (["checkpoint=bset"], "checkpoint=bset: choose best, last or a step; did you mean 'best'?"),
        (["checkpoint=3"], "checkpoint"),
        (["--platforms", "gpu"], "--platforms: no 'gpu'; choose of cpu, cuda, rocm, tpu; did you mean 'cuda'?"),
        (["--platforms", ","], "--platforms: name at least one of cpu, cuda, rocm, tpu"),
        (["--weights", "outside"], "--weights outside: choose inside or separate"),
        (["batch=0"], "batch=0: expected a whole number, at least 1"),
        (["batch=many"], "batch=many: expected a whole number, at least 1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(run, argv, line, tmp_path, capsys):
    assert main(["export", f"run={run}", f"out={tmp_path}/out", *argv]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert line in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == []
