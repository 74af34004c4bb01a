"""One program of several processes: found in Slurm's variables, given by flags, or started here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax

from nnxtrain.errors import InputError
from nnxtrain.parallel import gloo

HEARTBEAT = 30  # seconds without a sign of life, after which a process counts as dead
GRACE = 60  # seconds that processes get to save after one of them has ended


@dataclass(frozen=True)
class Processes:
    """The place of this process among several.

    Attributes:
      coordinator: ``HOST:PORT`` where process 0 listens; None: Slurm's first host.
      count: how many processes there are.
      index: which one this is, from 0.
      local: (index, count) among those of this host, which share its devices out; None: this one takes all.
    """

    coordinator: str | None
    count: int
    index: int
    local: tuple[int, int] | None = None


def find_processes(
    coordinator: str | None,
    count: int | None,
    index: int | None,
    environment: Mapping[str, str] = os.environ,
) -> Processes | None:
    """Return what the flags say, or else the variables of a Slurm step of several tasks; None: one process alone.

    Raises:
      InputError: flags that do not go together.

    >>> find_processes("10.0.0.1:1234", 4, 2, {})
    Processes(coordinator='10.0.0.1:1234', count=4, index=2, local=None)
    >>> step = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
    >>> find_processes(None, None, None, step)
    Processes(coordinator=None, count=8, index=5, local=(1, 4))
    """
    if coordinator is not None or index is not None:
        if coordinator is None or index is None or count is None:
            raise InputError(
                "--coordinator HOST:PORT, --processes N and --process I go together, on each host with its own I"
            )
        if ":" not in coordinator:
            raise InputError(
                f"--coordinator {coordinator}: expected HOST:PORT, e.g. {coordinator}:1234"
            )
        if not 0 <= index < count:
            raise InputError(
                f"--process {index}: of --processes {count} the numbers are 0 to {count - 1}"
            )
        return Processes(coordinator, count, index)
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if count is None and tasks > 1:
        index = int(environment["SLURM_PROCID"])
        return Processes(None, tasks, index, _local_of_slurm(environment))
    return None


def join(processes: Processes, environment: Mapping[str, str] = os.environ) -> None:
    """Make this process part of the program; before anything is computed.

    Raises what ``jax.distributed.initialize`` raises, where the others do not come or cannot be reached.
    """
    arguments: dict[str, object] = {}
    if processes.coordinator is not None:
        arguments |= {
            "coordinator_address": processes.coordinator,
            "num_processes": processes.count,
            "process_id": processes.index,
        }
    jax.distributed.initialize(
        **arguments,  # type: ignore[arg-type]
        local_device_ids=local_devices(processes.local, environment),
        cluster_detection_method="slurm" if processes.coordinator is None else "deactivate",
        heartbeat_timeout_seconds=HEARTBEAT,
    )
    if jax.default_backend() == "cpu":
        gloo.keep_out_of_stdout()


def local_devices(
    local: tuple[int, int] | None, environment: Mapping[str, str]
) -> list[int] | None:
    """Return which of the GPUs that are visible a process takes: its share of those that its host's processes all see.

    None leaves it to JAX. Where Slurm binds GPUs to tasks (``--gpus-per-task``), each process sees its own alone.

    >>> local_devices((1, 2), {"CUDA_VISIBLE_DEVICES": "0,1,2,3"})
    [2, 3]
    >>> local_devices((1, 2), {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_PER_TASK": "2"})
    [0, 1]
    """
    visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if local is None or not visible:
        return None
    index, count = local
    if "SLURM_GPUS_PER_TASK" in environment or len(visible) % count:
        return list(range(len(visible)))
    share = len(visible) // count
    return list(range(index * share, (index + 1) * share))


def run_here(command: Sequence[str], count: int) -> int:
    """Run a command as ``count`` processes on this machine, and return the first exit code that is not 0.

    The command is given ``--coordinator``, ``--processes`` and ``--process``. Signals are passed on. When one process
    ends badly, the others are asked to save, and after a minute stopped.
    """
    address = f"127.0.0.1:{_free_port()}"
    arguments = [*command, "--coordinator", address, "--processes", str(count), "--process"]
    children = [
        subprocess.Popen([*arguments, str(index)], env=os.environ | _share(index, count))
        for index in range(count)
    ]

    def pass_on(number: int, _: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    signals = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    earlier = {number: signal.signal(number, pass_on) for number in signals}
    # A terminal's Ctrl-C reaches the children by itself.
    earlier[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return _watch(children)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int:
    failed: int | None = None
    deadline = float("inf")
    while any(child.poll() is None for child in children):
        failed, deadline = _look(children, failed, deadline)
        if time.monotonic() > deadline:
            for child in children:
                child.kill()
        time.sleep(0.1)
    failed, _ = _look(children, failed, deadline)
    code = failed or 0
    return 128 - code if code < 0 else code


def _look(
    children: Sequence[subprocess.Popen[bytes]], failed: int | None, deadline: float
) -> tuple[int | None, float]:
    """Note the first process that ended badly, say so, and ask the others to save; they have until the deadline."""
    bad = {index: code for index, child in enumerate(children) if (code := child.poll())}
    if failed is not None or not bad:
        return failed, deadline
    # One that was killed is the cause, where others have ended for want of it.
    index, code = min(bad.items(), key=lambda item: item[1] >= 0)
    others = [child for child in children if child.poll() is None]
    if code not in (75, 130) and (others or code < 0):  # those the others have been asked too
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        stopping = "; stopping the others" if others else ""
        print(f"process {index} ended {how}{stopping}", file=sys.stderr)
        for other in others:
            other.terminate()
    return code, time.monotonic() + GRACE


def _share(index: int, count: int) -> dict[str, str]:
    """The GPUs that process ``index`` of ``count`` may see, as a variable."""
    mine = local_devices((index, count), os.environ)
    if mine is None:
        return {}
    visible = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[i] for i in mine)}


def _local_of_slurm(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """(index, count) of this task among those of its host, from ``4(x2),1`` and the like."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        tasks, _, times = part.partition("(x")
        if tasks:
            counts += [int(tasks)] * int(times.rstrip(")") or 1)
    node = int(environment.get("SLURM_NODEID", "0"))
    local = environment.get("SLURM_LOCALID")
    return (int(local), counts[node]) if local is not None and node < len(counts) else None


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
