"""The errors a person is meant to read: one line of what, where, and what to type next.

The command line prints ``str(error)`` and exits with ``error.exit_code``; a traceback appears only
with ``--debug``. From Python they are ordinary exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NnxtrainError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is what the command line exits with."""

    exit_code = 1


class InputError(NnxtrainError, ValueError):
    """What the user gave cannot be used: a config, an argument, a path, a data set (exit 2)."""

    exit_code = 2


class RunError(NnxtrainError, RuntimeError):
    """The input was fine, and the run failed all the same (exit 1)."""


class Interrupted(NnxtrainError):  # noqa: N818 (as KeyboardInterrupt: not an error)
    """The user pressed Ctrl-C; what was done is saved and the message says how to go on."""

    exit_code = 130


class Preempted(Interrupted):
    """The scheduler wants the machine back (SIGTERM, SIGUSR1, SIGUSR2); what was done is saved.

    The exit code is ``EX_TEMPFAIL`` of sysexits.h: start the same again, and it goes on.
    """

    exit_code = 75


class Pruned(NnxtrainError):  # noqa: N818 (what was asked for, not an error)
    """A sweep found the run too poor to go on with; what was done is saved."""

    exit_code = 0


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the candidate closest to ``name``, or ``""``.

    >>> nearest("lenet_cifar", ["lenet_cifar5", "mlp"])
    "; did you mean 'lenet_cifar5'?"
    >>> nearest("zzz", ["lenet_cifar5", "mlp"])
    ''
    """
    close = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
