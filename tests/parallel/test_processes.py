"""Several processes on this machine: the same numbers as one, signals, and a process that dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nnxtrain.cli.main import main
from nnxtrain.errors import InputError
from nnxtrain.parallel.processes import find_processes

TINY = [
    "data.name=shapes5/tiny", "model=mlp", "model.hidden=[16]", "trainer.epochs=null", "trainer.batch_size=64",
    "trainer.log_every=1", "trainer.eval_every=6",
]  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Start the command, of which nothing is left when the test is over, however it ends."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2", "XLA_FLAGS": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"cwd": tmp_path, "env": environment, "start_new_session": True, **pipes}
    started = []

    def begin(*arguments):
        command = [sys.executable, "-m", "nnxtrain", *arguments]
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def curve(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["split"], line["loss"]) for line in map(json.loads, lines)]


@pytest.mark.slow
def test_two_processes_stop_together_and_one_goes_on_along_the_same_curve(tmp_path, start):
    pair = start("fit", *TINY, "trainer.steps=100000", "name=two", "mesh=fsdp", "--processes", "2")
    run = _wait_for(lambda: next((tmp_path / "runs").glob("*_two_*"), None), pair)
    _wait_for(lambda: (run / "metrics.jsonl").exists() and len(curve(run)) > 3, pair)
    pair.send_signal(signal.SIGTERM)
    _, error = pair.communicate(timeout=60)
    assert pair.returncode == 75, error
    assert f"nnxtrain fit run={run.relative_to(tmp_path)}" in error

    done = max(int(path.name) for path in (run / "checkpoints").glob("[0-9]*"))
    steps = f"trainer.steps={done + 3}"
    for arguments in (["fit", f"run={run}", steps], ["fit", *TINY, steps, "name=one"]):
        process = start(*arguments)
        _, error = process.communicate()
        assert process.returncode == 0, error
    (one,) = (tmp_path / "runs").glob("*_one_*")
    expected = curve(one)
    for (*where, loss), (*other, other_loss) in zip(curve(run), expected, strict=True):
        assert where == other
        assert loss == pytest.approx(other_loss, rel=1e-3)


def _wait_for(ask, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


@pytest.mark.slow
def test_when_one_process_dies_the_others_end_soon(tmp_path, start):
    pair = start("fit", *TINY, "trainer.steps=100000", "--processes", "2")
    run = _wait_for(lambda: next((tmp_path / "runs").glob("*_mlp_*"), None), pair)
    _wait_for(lambda: (run / "metrics.jsonl").exists() and curve(run), pair)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            cwd = os.readlink(path.parent / "cwd")
        except OSError:
            continue
        if words[-3:-1] == [b"--process", b"1"] and cwd == str(tmp_path):
            os.kill(int(path.parent.name), signal.SIGKILL)
    began = time.monotonic()
    _, error = pair.communicate(timeout=90)
    assert time.monotonic() - began < 75
    assert pair.returncode != 0
    assert "process 1 ended by SIGKILL" in error


@pytest.mark.slow
def test_what_is_not_finite_ends_two_processes_as_it_does_one(tmp_path, start, monkeypatch, capsys):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 4)).astype(np.float32)
    np.savez(tmp_path / "good.npz", input=x, target=x.sum(1))
    x[40] = 1e30  # its squared error is not finite
    np.savez(tmp_path / "bad.npz", input=x, target=random.normal(size=64).astype(np.float32))
    common = [
        "fit", "data=arrays", "data.train=bad.npz", "data.validation=good.npz", "data.test=good.npz", "task=regression",
        "task.standardize=false", "model=mlp", "model.hidden=[8]", "model.num_classes=1", "optim=sgd",
        "optim.learning_rate=0.01", "trainer.epochs=null", "trainer.steps=8",
        "trainer.batch_size=8", "trainer.accumulate=2", "trainer.log_every=1",
    ]  # fmt: skip
    pair = start(*common, "name=two", "mesh=fsdp", "--processes", "2")
    monkeypatch.chdir(tmp_path)
    assert main([*common, "name=one"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    output, error = pair.communicate(timeout=300)
    assert pair.returncode == 1, error
    assert "Gloo" not in output
    for process in (0, 1):
        assert f"process {process} on {socket.gethostname()}: cpu 0, 1\n" in output
    assert said in error.splitlines()
    one, two = (next((tmp_path / "runs").glob(f"*_{name}_*")) for name in ("one", "two"))
    told = json.loads((one / "not_finite.json").read_text())
    assert told["where"] == "the loss, of finite outputs"
    assert 40 in told["examples"]
    assert json.loads((two / "not_finite.json").read_text()) == told
    losses = [loss for *_, loss in curve(one)]
    assert len(losses) == told["step"] - 1 > 1
    assert [loss for *_, loss in curve(two)] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("host:1", 2, None), r"--coordinator HOST:PORT, --processes N and --process I go together"),
        ((None, 2, 0), "go together"),
        (("host", 2, 0), r"--coordinator host: expected HOST:PORT, e\.g\. host:1234"),
        (("host:1", 2, 2), r"--process 2: of --processes 2 the numbers are 0 to 1"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(flags, message):
    with pytest.raises(InputError, match=message):
        find_processes(*flags, {})


def test_a_step_of_one_task_is_one_process():
    assert find_processes(None, None, None, {"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert find_processes(None, None, None, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
