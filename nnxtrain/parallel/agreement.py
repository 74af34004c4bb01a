"""What the processes of one program have to agree on; alone, a process agrees with itself at no cost."""

from __future__ import annotations

import functools
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LENGTH = 8192  # bytes of what process 0 can tell


def leads() -> bool:
    """Whether this is process 0, which alone writes what all share."""
    return jax.process_index() == 0


def told(value: Callable[[], Any]) -> Any:
    """Return, in every process, what ``value()`` is in process 0: anything of JSON, up to 8 KiB.

    The others wait for it. An exception of ``value`` in process 0 is raised there, and the others end with it.

    >>> told(lambda: {"step": 3})
    {'step': 3}
    """
    if jax.process_count() == 1:
        return value()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    text = json.dumps(value()).encode() if leads() else b""
    if len(text) > LENGTH:
        raise ValueError(f"{len(text)} bytes are more than {LENGTH}")
    buffer = np.zeros(LENGTH, np.uint8)
    buffer[: len(text)] = np.frombuffer(text, np.uint8)
    found = np.asarray(broadcast_one_to_all(buffer))
    return json.loads(found.tobytes().rstrip(b"\0"))


def meet(name: str) -> None:
    """Wait until every process is here."""
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(name)


class AnyOf:
    """Whether any process has said yes; each asks as often as the others, and all get the same answers.

    The answer is that to the question of ``lag`` calls ago, so that nobody has to wait for devices at work. Alone, a process
    gets its own answer at once.

    >>> anyone = AnyOf()
    >>> anyone(False), anyone(True)
    (False, True)
    """

    def __init__(self, lag: int = 2) -> None:
        self._lag = lag
        self._answers: deque[jax.Array] = deque()

    def __call__(self, yes: object) -> bool:
        if jax.process_count() == 1:
            return bool(yes)
        sharding, any_of = _votes()
        vote = jax.make_array_from_process_local_data(sharding, np.array([bool(yes)]))
        self._answers.append(any_of(vote))
        return len(self._answers) > self._lag and bool(self._answers.popleft())


@functools.cache
def _votes() -> tuple[NamedSharding, Callable[[jax.Array], jax.Array]]:
    """A vote for each process, on its first device, and what counts them."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([first[index] for index in sorted(first)]), ("process",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return (
        NamedSharding(mesh, PartitionSpec("process")),
        jax.jit(lambda votes: votes.any(), out_shardings=everywhere),
    )
