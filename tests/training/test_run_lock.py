"""The lock of a run holds exactly as long as its process."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnxtrain.errors import InputError, RunError
from nnxtrain.training.run_lock import run_lock

HOLD = r"""
import os, sys, time
from pathlib import Path
from nnxtrain.training.run_lock import run_lock
with run_lock(Path(sys.argv[1]), "x"):
    if sys.argv[2] == "alone" or os.fork() == 0:
        os.write(1, b"held\n")
    os.close(1)
    time.sleep(60)
    os._exit(0)
"""


def hold(path: Path, how: str = "alone") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), how]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


@pytest.mark.parametrize("how", ["alone", "fork"])
@pytest.mark.parametrize("supported", [True, False])
def test_a_killed_owner_is_replaced_at_once(
    path: Path, how: str, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not supported:
        monkeypatch.setattr(fcntl, "flock", no_flock)
    holder = hold(path, how)
    group = os.getpgid(holder.pid)
    try:
        with pytest.raises(InputError) as error, run_lock(path, "demo"):
            pass
        assert str(error.value).startswith(
            f"run demo is in use by process {holder.pid} on {socket.gethostname()} since 20"
        )
        assert "\n" not in str(error.value)
        holder.kill()
        holder.wait()
        start = time.monotonic()
        with run_lock(path, "demo"):
            assert json.loads(path.read_text())["pid"] == os.getpid()
        assert time.monotonic() - start < 1
    finally:
        os.killpg(group, signal.SIGKILL) if how == "fork" else None
        holder.communicate()


def no_flock(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_it_is_free_after_the_block_and_after_an_exception(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(path, "demo"):
        raise ZeroDivisionError
    with run_lock(path, "demo"):
        with pytest.raises(InputError, match=f"by process {os.getpid()} "), run_lock(path, "demo"):
            pass
        assert json.loads(path.read_text())["pid"] == os.getpid()
    with run_lock(path, "demo"):
        pass
    assert path.read_text() == ""


def test_an_owner_not_yet_written_is_another_process(path: Path) -> None:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="in use by another process;"), run_lock(path, "demo"):
            pass


def test_without_flock_another_host_is_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_flock)
    owner = {"pid": 1, "host": "elsewhere", "since": "2026-11-21 20:41:07", "born": "1"}
    path.write_text(json.dumps(owner))
    with pytest.raises(InputError, match=r"process 1 on elsewhere .* \(or remove .*run\.lock\)"):
        run_lock(path, "demo").__enter__()
    # a process of the same id on this host that is not the one that wrote it
    path.write_text(json.dumps(owner | {"host": socket.gethostname()}))
    with run_lock(path, "demo"):
        pass


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be opened"), run_lock(tmp_path, "demo"):
        pass
