"""How each trial of a sweep stands: from its record, its processes and its launcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nnxtrain.errors import InputError, NnxtrainError
from nnxtrain.sweep.directory import SweepDirectory
from nnxtrain.sweep.launchers import make_launcher
from nnxtrain.sweep.record import Record

State: TypeAlias = Literal[
    "not started", "waiting", "running", "finished", "pruned", "stopped", "failed", "died"
]
OPEN = ("waiting", "running")  # something will still happen by itself
DONE = ("finished", "pruned")
ORDER: tuple[State, ...] = (
    "finished", "pruned", "running", "waiting", "stopped", "failed", "died", "not started",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A trial as it stands: ``overrides`` None before it has been given any, ``error`` the line of a failed one."""

    number: int
    state: State
    overrides: list[str] | None
    error: str | None = None
    attempts: int = 0


def trials_of(sweep: SweepDirectory, held: Collection[int] | None = None) -> list[Trial]:
    """Return all trials by number; ``held`` are those that the launcher has, which it is asked for if None."""
    if held is None:
        held = held_by_launcher(sweep)
    return [_trial(sweep, number, number in held) for number in sweep.numbers]


def held_by_launcher(sweep: SweepDirectory) -> set[int]:
    """Return the trials that the launcher runs, or will run.

    Where it cannot be asked (Slurm does not answer, or is not on this machine) these are what it was given and what has not
    ended, as far as can be known.
    """
    try:
        held = make_launcher(sweep.spec).held(sweep)
    except NnxtrainError:
        given = {number for launch in sweep.launches for number in launch["trials"]}
        held = {number for number in given if _is_open(sweep, number)}
    return {number for number in held if not sweep.is_cancelled(number)}


def _is_open(sweep: SweepDirectory, number: int) -> bool:
    last = Record.read(sweep.record_path(number)).last
    return last is None or last.outcome is None


def counts(states: Iterable[State]) -> str:
    """Return how many trials there are, in each state.

    >>> counts(["finished", "failed", "finished"])
    '3 trials: 2 finished, 1 failed'
    """
    found = Counter(states)
    listed = ", ".join(f"{found[state]} {state}" for state in ORDER if found[state])
    return f"{found.total()} trials: {listed}"


def choose(sweep: SweepDirectory, numbers: Collection[str]) -> list[int]:
    """Return the trials that are named on a command line: ``3``, ``0-4``, or all if none is.

    Raises InputError for what is no trial.

    >>> from types import SimpleNamespace
    >>> choose(SimpleNamespace(numbers=range(6), name="x"), ["1", "3-4"])
    [1, 3, 4]
    """
    found: dict[int, None] = {}
    for text in numbers:
        first, dash, last = text.partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise InputError(f"trial {text!r}: expected a number, as 3, or numbers, as 0-4")
        for number in range(int(first), int(last or first) + 1):
            if number not in sweep.numbers:
                raise InputError(
                    f"no trial {number} in {sweep.name}: they are 0 to {sweep.numbers[-1]}"
                )
            found[number] = None
    return list(found) if numbers else list(sweep.numbers)


def _trial(sweep: SweepDirectory, number: int, held: bool) -> Trial:
    record = Record.read(sweep.record_path(number))
    overrides = record.overrides or sweep.planned(number)
    last = record.last
    state: State
    if last is None:
        cancelled = sweep.is_cancelled(number)
        state = "waiting" if held else "stopped" if cancelled else "not started"
    elif last.outcome is None:
        if last.is_alive if last.is_here else held:
            state = "running"
        else:
            state = "waiting" if held else "died"
    elif last.outcome in DONE:
        state = last.outcome
    else:
        state = "waiting" if held else last.outcome
    error = last.error if last and state == "failed" else None
    return Trial(number, state, overrides, error, len(record.attempts))
