"""Trials as tasks of Ray, on a cluster or on this machine: a manager in the background hands them over."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from nnxtrain.errors import InputError, Preempted, RunError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.launcher import trial_command
from nnxtrain.sweep.launchers.local import LocalLauncher
from nnxtrain.sweep.launchers.shares import MEMORY, machine_cores

PASSED_ON = ("PYTHONPATH", "JAX_", "XLA_", "NNXTRAIN_")  # variables, or how their names begin
STORE = 80 * 2**20  # bytes of shared memory for a Ray of our own; trials leave nothing in it


@dataclass(frozen=True)
class RayLauncher(LocalLauncher):
    """Starts a manager as :class:`LocalLauncher` does, which is a driver of Ray: what it started ends with it.

    Ray's jobs, one for each trial, would need no driver; but a job that has waited 15 minutes for resources fails.
    All nodes see the sweep's directory under the same path.
    """

    def check(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("sweep.launcher=ray needs ray: pip install 'nnxtrain[ray]'")
        config = self.spec.ray
        if config.address is None and config.cores > (here := len(machine_cores())):
            raise InputError(f"sweep.ray.cores={config.cores}: this machine has {here}")

    def launch(self, sweep: SweepDirectory, numbers: Sequence[int]) -> None:
        _look_for(self.spec.ray.address)
        super().launch(sweep, numbers)

    def cancel(self, sweep: SweepDirectory, numbers: Collection[int]) -> None:
        """Each trial's task sees by itself that it is cancelled."""


def manage(sweep: SweepDirectory, numbers: Sequence[int]) -> None:
    """Run trials by Ray, at most ``sweep.parallel`` at once, and return when all have ended.

    Raises Preempted after SIGTERM or SIGINT, when the trials that were running have saved and ended.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    config = sweep.spec.ray
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    _connect(ray, config.address)
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))  # Ray has set its own
    gpus = config.gpus
    if gpus is None:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
    start = ray.remote(num_cpus=config.cores, num_gpus=gpus)(_task())
    stop = sweep.logs_path / f"manager-{os.getpid()}.stop"
    waiting, running = list(numbers), dict[Any, int]()
    limit = sweep.spec.parallel or len(waiting)
    try:
        while (waiting and not asked) or running:
            while waiting and len(running) < limit and not asked:
                number = waiting.pop(0)
                if not sweep.is_cancelled(number):
                    running[start.remote(*_arguments(sweep, number, gpus, str(stop)))] = number
            if asked:
                stop.touch()
            if not running:
                continue
            for done in ray.wait(list(running), timeout=0.2)[0]:
                number = running.pop(done)
                try:
                    code = ray.get(done)
                except ray.exceptions.RayError as error:
                    print(f"trial {number}: {error}", flush=True)  # into the manager's log
                    continue
                if code == Preempted.exit_code and not asked:
                    waiting.append(number)
    finally:
        stop.unlink(missing_ok=True)
        ray.shutdown()
    if asked:
        raise Preempted(f"stopped by {signal.Signals(asked[0]).name}")


def _connect(ray: Any, address: str | None) -> None:
    if address is not None:
        ray.init(address=address, log_to_driver=False)
        return
    # Who reaches a Ray can run programs by it, so it listens on this machine alone.
    ray.init(
        address="local",
        num_cpus=len(machine_cores()),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=STORE,
        _node_ip_address="127.0.0.1",
    )


def _arguments(
    sweep: SweepDirectory, number: int, gpus: float, stop: str
) -> tuple[list[str], str, str, str, str, dict[str, str]]:
    """What the task of a trial is given."""
    environment = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
    if 0 < gpus < 1:
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{MEMORY * gpus:.2f}"
    return (
        trial_command(sweep, number)[1:],  # the interpreter is the node's
        sweep.content["working_directory"],
        str(sweep.log_path(number)),
        str(sweep.cancelled_path(number)),
        stop,
        environment,
    )


def _task() -> Any:
    """Return the function that runs a trial on a node and returns its exit code.

    It stands in a function, so that Ray sends its code: the node's worker then imports nothing of ours.
    """

    def run_trial(
        command: list[str],
        folder: str,
        log: str,
        cancelled: str,
        stop: str,
        environment: dict[str, str],
    ) -> int:
        import os
        import signal
        import subprocess
        import sys
        import time

        if os.path.exists(cancelled) or os.path.exists(stop):
            return 0
        # What a worker of Ray blocks would be blocked in the trial too, and SIGINT is.
        blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with open(log, "ab") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        told = False
        while (code := process.poll()) is None:
            for file, number in ((cancelled, signal.SIGINT), (stop, signal.SIGTERM)):
                if not told and os.path.exists(file):
                    process.send_signal(number)
                    told = True
            time.sleep(0.1)
        return code

    return run_trial


def _look_for(address: str | None) -> None:
    """Raise RunError if nothing answers at HOST:PORT; where it says ``auto``, Ray knows."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=10):
        return
    raise RunError(f"sweep.ray.address={address}: nothing answers there")
