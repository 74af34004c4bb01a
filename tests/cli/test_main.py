# ruff: noqa: E501  (a case is one line: what is typed, and what is answered)
import os
import subprocess
import sys

import pytest

from nnxtrain import __version__
from nnxtrain.cli.main import VERBS, main

HEAVY = (
    "jax",
    "jaxlib",
    "optax",
    "orbax",
    "hydra",
    "omegaconf",
    "yaml",
    "numpy",
    "rich",
    "PIL",
    "grain",
    "tensorflow_datasets",
)


@pytest.mark.parametrize(
    "argv", [["--help"], [], ["--version"], ["data"], ["fti"], *([*v.split(), "--help"] for v in VERBS)]
)  # fmt: skip
def test_light_commands_import_nothing_heavy(argv, environment):
    code = (
        "import sys; from nnxtrain.cli.main import main; main(sys.argv[1:]); "
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    environment = {**environment, "PYTHONPATH": environment["PYTHONPATH"].split(os.pathsep)[-1]}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, env=environment
    )
    assert "loaded: []" in done.stdout, done


def test_help(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    shown = [verb for verb, (*_, told) in VERBS.items() if told]
    for verb in shown:
        assert verb in text
    for verb in shown:
        assert main([*verb.split(), "-h"]) == 0
        assert f"usage: nnxtrain {verb}" in (text := capsys.readouterr().out)
        assert f"  nnxtrain {verb}" in text, "an example"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nnxtrain {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["fti"], "no command 'fti'; did you mean 'fit'?"),
        (["zzz"], "no command 'zzz' (commands: fit, "),
        (["--hlep"], "no flag '--hlep' before the command; did you mean '--help'?"),
        (["config", "shw"], "no command 'config shw'; did you mean 'show'?"),
        (["fit", "--multi"], "fit: no flag '--multi'; did you mean '--multirun'?"),
        (["fit", "--config-dir"], "fit: --config-dir needs a value: --config-dir DIR"),
        (["fit", "--config-dir", "nowhere"], "--config-dir: nowhere is not a folder"),
        (["fit", "--package", "not_there"], "--package not_there: not found; run where its folder lies, or install it"),
        (["fit", "--package", "a/b"], "--package a/b: expected the name of a Python package"),
        (["fit", "config=lenet_cifar", "FLAGS"], "override 'config=lenet_cifar': no config 'lenet_cifar'; did you mean 'lenet_cifar5'?"),
        (["fit", "modle=mlp", "FLAGS"], "override 'modle=mlp': there is no key 'modle'; did you mean 'model'?"),
        (["fit", "trainer.epohcs=3", "FLAGS"], "trainer has no key 'epohcs'; did you mean 'epochs'?"),
        (["fit", "model._target_=fakes.Modl", "FLAGS"], "fakes has no 'Modl'; did you mean 'Model'?"),
        (["fit", "model.hiden=3", "FLAGS"], "fakes.Model has no argument 'hiden'; did you mean 'hidden'?"),
        (["fit", "trainer.epochs=many", "FLAGS"], "trainer.epochs: expected a number, got 'many'"),
        (["fit", "model=incomplete", "FLAGS"], "model.hidden has no value; give model.hidden=VALUE"),
        (["fit", "model._target_=os.system", "FLAGS"], "'os.system' is outside the allowed packages"),
        (["fit", "seed=1,2", "FLAGS"], "override 'seed=1,2' has several values: `nnxtrain sweep` runs them all"),
        (["fit", "run=", "FLAGS"], "run= is empty; give run=VALUE"),
        (["fit", "run=runs/nowhere"], "run 'runs/nowhere' does not exist"),
        (["fit", "-m", "seed=1,2", "model.hiden=3", "FLAGS"], "trial 0 (seed=1 model.hiden=3): override 'model.hiden=3': model.hiden: fakes.Model has no argument"),
        (["fit", "-m", "model=lenet,lanet", "FLAGS"], "trial 1 (model=lanet): override 'model=lanet': no model 'lanet'; did you mean 'lenet'?"),
        (["fit", "-m", "seed=range(3,1)", "FLAGS"], "override 'seed=range(3,1)': the sweep has no values"),
        (["fit", "-m", "run=runs/x", "FLAGS"], "'run=runs/x' resumes one run and cannot be combined with -m"),
        (["fit", "-m", "seed=1,2", "hydra/launcher=slrum", "FLAGS"], "no hydra/launcher 'slrum'"),
        (["fit", "-m", "seed=1,2", "hydra.launcher._target_=os.system", "FLAGS"], "hydra.launcher: 'os.system' is not a plugin of Hydra"),
        (["eval"], "no runs under 'runs', which does not exist; start one with: nnxtrain fit"),
        (["eval", "splt=test"], "eval: unexpected argument 'splt=test'; did you mean 'split='?"),
        (["eval", "split=tets"], "split=tets: expected one of test, validation, train; did you mean 'test'?"),
        (["data", "prepare"], "data prepare: name one data set ("),
        (["data", "prepare", "shapes6", "FLAGS"], "data prepare: no data set 'shapes6'; did you mean 'shapes5'?"),
        (["data", "prepare", "shapes5", "data.sise=3", "FLAGS"], "fakes.Data has no argument 'sise'; did you mean 'size'?"),
        (["config", "list", "modle"], "no config group 'modle'; did you mean 'model'?"),
        (["config", "list", "a", "b"], "config list: one group at most, got a b"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(argv, line, flags, capsys, tmp_path, standin):
    argv = [token for part in argv for token in (flags if part == "FLAGS" else [part])]
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1
    assert out == ""
    assert standin.calls == []
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_exit_codes_of_the_run(flags, capsys):
    assert main(["fit", "name=broken", *flags]) == 1
    assert capsys.readouterr().err == "error: the loss is not finite at step 7\n"
    assert main(["fit", "name=interrupted", *flags]) == 130
    assert capsys.readouterr().err == "stopped at step 7; resume with: nnxtrain fit run=DIR\n"
    assert main(["fit", "name=crash", *flags]) == 1
    line = "error: internal: KeyError: 'a bug' (run again with --debug for the traceback)\n"
    assert capsys.readouterr().err == line


def test_debug_shows_the_traceback(flags, capsys):
    assert main(["fit", "name=crash", "--debug", *flags]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: internal: KeyError: 'a bug'\n")
    assert main(["fit", "config=nowhere", "--debug", *flags]) == 2
    assert "MissingConfigException" in capsys.readouterr().err


def test_the_real_command(nnxtrain, flags):
    done = nnxtrain("fit", "config=lenet_cifar", *flags)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: override 'config=lenet_cifar': no config")
    assert done.stderr.count("\n") == 1
    assert nnxtrain("--version").stdout == f"nnxtrain {__version__}\n"


def test_a_reader_that_goes_away_is_no_error(environment):
    command = f"{sys.executable} -m nnxtrain config list | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")
