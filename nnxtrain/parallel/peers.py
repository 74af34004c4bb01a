"""Processes that watch each other: when one ends before the others, they say which, and end too.

A collective operation waits for a process that is not there, until JAX misses its heartbeat and aborts with pages of log.
Here each process holds a connection to process 0, which the system closes when either ends, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

import jax

from nnxtrain.errors import Interrupted, NnxtrainError, Pruned, RunError
from nnxtrain.parallel.agreement import leads, told

REACHED = 30.0  # seconds to reach process 0
GRACE = 10.0  # seconds for a process to end by itself when another has


class Peers:
    """A with block that all processes of a program enter and leave together. Of a process alone nothing is watched.

    It may be left by an Interrupted or a Pruned, on which all agree, and by any exception in all. Where another process is
    missing, what JAX raises for it becomes a RunError that names it; where nothing is raised, the process is ended.

    Attributes:
      places: in process 0, once entered, a line for each process: its host and devices, by their numbers there. Of a process
        alone there is none.
    """

    def __init__(self) -> None:
        self.places: list[str] = []
        self._files: dict[
            int, IO[str]
        ] = {}  # of process 0 to each other one, of the others to process 0
        self._threads: list[threading.Thread] = []
        self._missing: str | None = None
        self._noticed = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> Peers:
        if jax.process_count() > 1:
            for process, host in self._connect().items():
                thread = threading.Thread(target=self._listen, args=(process, host), daemon=True)
                self._threads.append(thread)
                thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._files:
            return
        if error is None or isinstance(error, Interrupted | Pruned):
            self._over.set()
            for process in self._files:
                self._say(process, {"over": True})
            return
        # JAX would wait for the others at the end of this process.
        atexit.register(self._leave, getattr(error, "exit_code", 1))
        self._raise_named(error)

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Return an inner with block, which an exception leaves with the name of a process that is missing."""
        try:
            yield
        except Exception as error:
            self._raise_named(error)
            raise

    def _raise_named(self, error: BaseException) -> None:
        if not self._files or (isinstance(error, NnxtrainError) and error.__cause__ is None):
            return  # what all raise
        self._noticed.wait(
            GRACE
        )  # what an operation raises may come before the end of the connection
        if self._missing:
            raise RunError(self._missing) from error

    def _connect(self) -> dict[int, str]:
        """Connect with process 0, at an address that it tells, and return the hosts at the other ends."""
        me, host = jax.process_index(), socket.gethostname()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_server(("", 0))) if leads() else None
            port = server.getsockname()[1] if server else 0
            names, port, token = told(lambda: [[host, socket.getfqdn()], port, secrets.token_hex()])
            if server is None:
                near = ["127.0.0.1"] if host == names[0] else []
                self._files[0] = _reach([*near, *names], port).makefile("rw")
                self._say(0, {"token": token, "process": me, "host": host, "place": _place()})
                return {0: names[0]}
            hosts: dict[int, str] = {}
            places = {me: _place()}
            server.settimeout(REACHED)
            while len(hosts) < jax.process_count() - 1:
                connection, _ = server.accept()
                connection.settimeout(REACHED)
                file = connection.makefile("rw")
                hello = json.loads(file.readline() or "{}")
                if hello.get("token") == token:
                    connection.settimeout(None)
                    process = hello["process"]
                    hosts[process], self._files[process] = hello["host"], file
                    places[process] = hello["place"]
            self.places = [place for _, place in sorted(places.items())]
            return hosts

    def _say(self, process: int, line: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            print(json.dumps(line), file=self._files[process], flush=True)

    def _listen(self, process: int, host: str) -> None:
        said: dict[str, Any] = {}
        with contextlib.suppress(OSError):
            for text in self._files[process]:
                said = json.loads(text)
                if "missing" in said:
                    self._notice(said["missing"])
        if "over" not in said:
            why = "its own message, or the scheduler's, says why"
            self._notice(f"process {process} on {host} ended before the others; {why}")

    def _notice(self, missing: str) -> None:
        """Note that a process has ended, tell the others, and see that this one ends.

        Process 0 has the run to note it in; the others are aborted by JAX as soon as it is process 0 that is missing.
        """
        if self._over.is_set() or self._noticed.is_set():
            return
        self._missing = missing
        self._noticed.set()
        for process in self._files if leads() else ():
            self._say(process, {"missing": missing})
        timer = threading.Timer(GRACE if leads() else 0, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        print(f"error: {self._missing}", file=sys.stderr, flush=True)
        os._exit(1)

    def _leave(self, code: int) -> None:
        """End at once; but process 0 last, as JAX aborts the others when it goes."""
        if leads():
            for thread in self._threads:
                thread.join(GRACE)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _place() -> str:
    """Where this process is, and which devices it works with.

    >>> _place().partition(": ")[2]
    'cpu 0, 1, 2, 3'
    """
    devices = jax.local_devices()
    numbers = ", ".join(str(device.local_hardware_id) for device in devices)
    host = socket.gethostname()
    return f"process {jax.process_index()} on {host}: {devices[0].platform} {numbers}"


def _reach(names: list[str], port: int) -> socket.socket:
    """Connect to the first of several names of a host that answers.

    Raises RunError if none does.
    """
    for name in names:
        with contextlib.suppress(OSError):
            connection = socket.create_connection((name, port), REACHED)
            connection.settimeout(None)
            return connection
    raise RunError(f"process 0 cannot be reached on {' or '.join(names)}, port {port}")
