"""Which sweep, and which of its trials, a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnxtrain.cli.arguments import argument, rest
from nnxtrain.errors import InputError

if TYPE_CHECKING:
    from nnxtrain.sweep.directory import SweepDirectory


def sweep_name() -> Any:
    """A field for the sweep: a directory, or a name."""
    return rest("its directory or name (default: the newest)", metavar="SWEEP")


def runs_dir() -> Any:
    """A field for where sweeps are found by name."""
    return argument("where the runs are (default: runs)", "runs", metavar="DIR")


def trial_numbers() -> Any:
    """A field for some of the trials."""
    return argument("only these, as 3,5-7", metavar="NUMBERS")


def find_sweep(given: tuple[str, ...], runs_dir: str) -> SweepDirectory:
    """Return the sweep that is named, or the newest. Raises InputError if there is none, or several are named."""
    from nnxtrain.sweep.directory import SweepDirectory

    if len(given) > 1:
        raise InputError(f"unexpected argument {given[1]!r}; one sweep at a time")
    if given:
        return SweepDirectory.open(given[0], runs_dir)
    return SweepDirectory.newest(runs_dir)


def split_numbers(text: str | None) -> list[str]:
    """Return the parts of ``3,5-7``."""
    return text.split(",") if text else []
