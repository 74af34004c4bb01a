"""Gloo, which connects the processes on CPUs, writes a line to standard output for each connection; this keeps them out."""

from __future__ import annotations

import os
import sys


def keep_out_of_stdout() -> None:
    """From now on standard output is Python's alone: what libraries write to it by themselves is dropped.

    Connections are made whenever a program first needs them, so this cannot end. Standard error is left as it is.
    """
    sys.stdout.flush()
    mine = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    old = sys.stdout
    sys.stdout = open(  # noqa: SIM115
        mine, "w", encoding=old.encoding, errors=old.errors, buffering=1 if old.isatty() else -1
    )
