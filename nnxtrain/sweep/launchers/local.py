"""Trials as processes of this machine, several at once: a manager in the background starts them, one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nnxtrain.errors import InputError, Preempted, RunError
from nnxtrain.storage.process_id import born
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers.launcher import trial_command
from nnxtrain.sweep.launchers.shares import Share, shares
from nnxtrain.sweep.record import Attempt, Record
from nnxtrain.sweep.spec import SweepConfig

GRACE = 60.0  # seconds that a trial has to save and end


@dataclass(frozen=True)
class LocalLauncher:
    """Starts a manager process in a session of its own, which no closed terminal ends.

    Managers are as many as launches that are not over; ``sweep retry`` makes one more.
    """

    spec: SweepConfig
    pause: ClassVar[float] = 1.0

    def check(self) -> None:
        shares(self.spec)

    def launch(self, sweep: SweepDirectory, numbers: Sequence[int]) -> None:
        command = [sys.executable, "-m", "nnxtrain", "sweep", "manage", str(sweep.path)]
        began = time.time()  # attempts that it starts are later
        try:
            with open(sweep.logs_path / "manager.log", "ab") as log:
                # The shell ends at once, so the manager is nobody's child: it needs nobody to wait for it.
                shell = subprocess.run(
                    ["sh", "-c", '"$@" >&2 & echo $!', "sh", *command, *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    cwd=sweep.content["working_directory"],
                    check=True,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise RunError(f"no trial can be started: {error}") from error
        manager = int(shell.stdout)
        sweep.note_launch(
            {
                "time": began,
                "trials": list(numbers),
                "host": socket.gethostname(),
                "pid": manager,
                "born": born(manager),
            }
        )

    def held(self, sweep: SweepDirectory) -> set[int]:
        held: set[int] = set()
        for launch in _running(sweep):
            for number in launch["trials"]:
                last = Record.read(sweep.record_path(number)).last
                if last is None or last.started < launch["time"] or _goes_on(last):
                    held.add(number)
        return held

    def cancel(self, sweep: SweepDirectory, numbers: Collection[int]) -> None:
        elsewhere: dict[int, str] = {}
        for number in numbers:
            last = Record.read(sweep.record_path(number)).last
            if last is None or last.outcome is not None:
                continue
            if not last.is_here:
                elsewhere[number] = last.host
            elif last.is_alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(last.pid, signal.SIGINT)
        if elsewhere:
            number, host = next(iter(elsewhere.items()))
            raise InputError(f"trial {number} runs on {host}; cancel it there")


def _goes_on(attempt: Attempt) -> bool:
    """Whether an attempt runs, as far as can be known here, or is followed by another one."""
    if attempt.outcome is None:
        return attempt.is_alive if attempt.is_here else True
    return attempt.outcome == "stopped"


def _running(sweep: SweepDirectory) -> Iterator[dict[str, Any]]:
    """The launches whose manager is at work on this host."""
    for launch in sweep.launches:
        here = launch.get("host") == socket.gethostname()
        if here and launch["born"] is not None and born(launch["pid"]) == launch["born"]:
            yield launch


def manage(sweep: SweepDirectory, numbers: Sequence[int]) -> None:
    """Run trials, as many at once as there is room for, and return when all have ended.

    Those of an earlier launch that is not over come first: the machine is shared out once.

    Raises Preempted after SIGTERM or SIGINT, when the trials that were running have saved and ended.
    """
    waiting = list(numbers)
    free = shares(sweep.spec, len(waiting))
    running: dict[int, tuple[subprocess.Popen[bytes], Share]] = {}
    asked: list[int] = []
    for asking in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asking, lambda number, _: asked.append(number))
    while _is_earlier_at_work(sweep) and not asked:
        time.sleep(0.5)
    try:
        while (waiting and not asked) or running:
            while waiting and free and not asked:
                number = waiting.pop(0)
                if not sweep.is_cancelled(number):
                    share = free.pop(0)
                    running[number] = (_start(sweep, number, share), share)
            for number, (process, share) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[number]
                free.append(share)
                if code == Preempted.exit_code and not asked:
                    waiting.append(number)
            if asked:
                _end([process for process, _ in running.values()])
            time.sleep(0.1)
    finally:
        for process, _ in running.values():  # not without a fault of ours
            process.terminate()
    if asked:
        raise Preempted(f"stopped by {signal.Signals(asked[0]).name}")


def _is_earlier_at_work(sweep: SweepDirectory) -> bool:
    """Whether another manager works on a launch that came before this process's own, or its own is not noted yet."""
    first = next(_running(sweep), None)
    return first is None or first["pid"] != os.getpid()


def _start(sweep: SweepDirectory, number: int, share: Share) -> subprocess.Popen[bytes]:
    with open(sweep.log_path(number), "ab") as log:
        process = subprocess.Popen(
            trial_command(sweep, number),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **share.environment},
            start_new_session=True,  # or a Ctrl-C would reach it twice
        )
    if share.cores and hasattr(os, "sched_setaffinity"):
        # Long before Python has come so far that a library would start its threads.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(process.pid, share.cores)
    return process


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
