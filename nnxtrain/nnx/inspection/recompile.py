"""``nnx.explain_recompile``: why a compiled function compiled again.

A function notes the signature of each of its traces, at the moment of the trace; a call that finds its program compiled
notes nothing. Signatures are compared when someone asks.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import MethodType
from typing import Any, NamedTuple, overload

import jax

from nnxtrain.nnx.graph.graphdef import Path
from nnxtrain.nnx.inspection.graphdef_diff import Difference
from nnxtrain.nnx.inspection.signature import (
    Inputs,
    Signature,
    positional_names,
    read_inputs,
    signature_diff,
    signature_of,
)
from nnxtrain.nnx.inspection.summaries import placement_text

MAX_TRACES = 64
MAX_LINES = 12

Placements = dict[Path, str]  # where the arrays of a call lie


class Compilation(NamedTuple):
    """One compilation of a function.

    Attributes:
      number: 1 for the first.
      nearest: the number of the earlier one that differs least (None for the first).
      differences: what differs from it.
    """

    number: int
    nearest: int | None
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        if self.nearest is None:
            return f"{self.number}. the first call"
        lines = [f"{self.number}. differs from {self.nearest} in"]
        return "\n".join(lines + _few([f"   {difference}" for difference in self.differences]))


class RecompileReport(list[Compilation]):
    """The compilations of a function, oldest first; as text, one paragraph for each.

    Attributes:
      name: of the function.
      untraced: programs made without a new trace, for other shardings, devices or memory layouts.
    """

    def __init__(self, name: str, compilations: list[Compilation], untraced: int):
        super().__init__(compilations)
        self.name = name
        self.untraced = untraced

    def __str__(self) -> str:
        times = {0: "not compiled", 1: "compiled once"}.get(
            len(self), f"compiled {len(self)} times"
        )
        lines = [f"{self.name}: {times}", *map(str, self)]
        if self.untraced:
            lines.append(
                f"and {self.untraced} more for arrays of the same types on other devices or with other shardings; "
                "call it inside `with nnx.explain_recompile():` to see which"
            )
        return "\n".join(lines)

    __repr__ = __str__


class History:
    """The traces of one compiled function (the last 64)."""

    def __init__(self, fun: Callable[..., Any], static_argnums: tuple[int, ...]):
        self.name = getattr(fun, "__qualname__", None) or repr(fun)
        self.names = positional_names(fun)
        self.static_argnums = static_argnums
        self.dropped = 0
        self.traces: list[tuple[weakref.ref, Signature]] = []
        self.placements: weakref.WeakKeyDictionary[Any, list[Placements]] = (
            weakref.WeakKeyDictionary()
        )
        self.lock = threading.Lock()

    def record(self, program: Any, values: list[Any], args: tuple, kwargs: dict) -> None:
        """Note a trace of ``program``. Runs inside the trace, so only when something is compiled."""
        inputs = self.inputs(program, values, args, kwargs)
        signature = signature_of(program.graphdef, inputs)
        with self.lock:
            if any(made() is program and known == signature for made, known in self.traces):
                return  # the same program is traced twice: to find what may be donated, and to compile
            self.traces.append((weakref.ref(program), signature))
            if len(self.traces) > MAX_TRACES:
                del self.traces[0]
                self.dropped += 1
        if watchers:
            self.announce(str(self.compilation(len(self.traces) - 1)))

    def compilation(self, index: int) -> Compilation:
        """The trace with an index, beside the earlier one that is nearest."""
        signature = self.traces[index][1]
        nearest: int | None = None
        differences: tuple[Difference, ...] = ()
        for earlier in reversed(range(index)):
            found = signature_diff(self.traces[earlier][1], signature)
            if nearest is None or _distance(found) < _distance(differences):
                nearest, differences = self.dropped + earlier + 1, found
        if nearest is not None and not differences:
            differences = (_AGAIN,)
        return Compilation(self.dropped + index + 1, nearest, differences)

    def report(self, programs: int) -> RecompileReport:
        found = [self.compilation(index) for index in range(len(self.traces))]
        return RecompileReport(self.name, found, max(programs - len(found), 0))

    def announce(self, text: str) -> None:
        for log in list(watchers):
            log(f"nnx.jit compiles {self.name}: {text}")

    def run_watched(self, program: Any, values: list[Any], args: tuple, kwargs: dict) -> Any:
        """Run a program, and say where JAX made another for the same types: for other devices or shardings."""
        here = _placements(self.inputs(program, values, args, kwargs))
        traces, programs = len(self.traces) + self.dropped, program.compiled._cache_size()
        out = program.compiled(*program._arguments(values, args, kwargs), *args, **kwargs)
        if program.compiled._cache_size() > programs:
            seen = self.placements.setdefault(program, [])
            if len(self.traces) + self.dropped == traces and seen:
                differences = min((_placement_diff(old, here) for old in seen), key=len)
                if differences:
                    lines = [f"   {difference}" for difference in differences]
                    self.announce(
                        "\n".join(["again, for the same types in another place", *_few(lines)])
                    )
            seen.append(here)
        return out

    def inputs(self, program: Any, values: list[Any], args: tuple, kwargs: dict) -> Inputs:
        return read_inputs(program.graphdef, values, args, kwargs, self.names, self.static_argnums)


def _distance(differences: tuple[Difference, ...]) -> tuple[int, int]:
    """How many differences, then in how many of them neither the dtype nor the shape stayed."""
    types = [(d.old.partition("["), d.new.partition("[")) for d in differences]
    return len(types), sum(old[0] != new[0] and old[2] != new[2] for old, new in types)


_AGAIN = Difference(
    (),
    "the same program",
    "compiled again",
    "it was dropped: a function keeps its last 64 programs",
)
_COMMIT = (
    "put it where it belongs before the first call: what a compiled function returns has a fixed "
    "place, a new array has none"
)


def _placements(inputs: Inputs) -> Placements:
    """Where each array among the inputs lies."""
    found: Placements = {}
    for path, leaf in (*inputs.arrays, *inputs.arguments):
        if isinstance(leaf, jax.Array):
            devices: list[Any] = list(leaf.sharding.device_set)
            place = f"on {devices[0].platform}:{devices[0].id}"
            if len(devices) > 1:
                place = placement_text(leaf)
            found[path] = place if leaf.committed else "anywhere"
        else:
            found[path] = "anywhere"
    return found


def _placement_diff(old: Placements, new: Placements) -> list[Difference]:
    return [
        Difference(path, old[path], place, _COMMIT if "anywhere" in (old[path], place) else "")
        for path, place in new.items()
        if path in old and old[path] != place
    ]


def _few(lines: list[str]) -> list[str]:
    more = len(lines) - MAX_LINES
    return lines[:MAX_LINES] + ([f"   and {more} more"] if more > 0 else [])


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr)


# Who is told of compilations as they happen; jit looks here at each call, so it is a plain list.
watchers: list[Callable[[str], None]] = []
if os.environ.get("NNXTRAIN_EXPLAIN_RECOMPILE", "") not in ("", "0"):
    watchers.append(_to_stderr)


@overload
def explain_recompile(fun: Callable[..., Any]) -> RecompileReport: ...
@overload
def explain_recompile(
    *, log: Callable[[str], None] = ...
) -> AbstractContextManager[Callable[[str], None]]: ...
def explain_recompile(
    fun: Callable[..., Any] | None = None, *, log: Callable[[str], None] = _to_stderr
) -> Any:
    """Say why a function compiled by ``nnx.jit`` compiled again.

    ``nnx.explain_recompile(step)`` reports all compilations of ``step`` so far, and for each what differs from the
    earlier one that is nearest: an argument's shape, dtype or weak type; a static argument; in the objects a type, a
    static attribute, metadata, what is shared or frozen; a setting of JAX. It costs a call nothing: signatures are
    noted when a function is traced.

    ``with nnx.explain_recompile():`` says so at the moment of each compilation, for all functions in all threads, by
    ``log(text)`` (default: a line on stderr); here compilations for other devices and shardings are explained too.
    ``NNXTRAIN_EXPLAIN_RECOMPILE=1`` does the same for a whole process.

    Returns:
      a list of :class:`Compilation` that prints as text; without ``fun`` a context manager.

    Raises:
      TypeError: ``fun`` was not made by ``nnx.jit``.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> @nnx.jit
    ... def apply(model, x):
    ...     return model(x)
    >>> model = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    >>> _ = apply(model, jnp.ones(3))
    >>> model.eval()
    >>> _ = apply(model, jnp.ones(3))
    >>> nnx.explain_recompile(apply)
    apply: compiled 2 times
    1. the first call
    2. differs from 1 in
       model.deterministic: False -> True
    """
    if fun is None:
        return _watching(log)
    jitted: Any = fun.__func__ if isinstance(fun, MethodType) else fun
    if not isinstance(getattr(jitted, "history", None), History):
        name = getattr(fun, "__name__", type(fun).__name__)
        raise TypeError(
            f"nnx.explain_recompile needs a function made by nnx.jit; {name} is a {type(fun).__name__}"
        )
    return jitted.history.report(jitted._cache_size())


@contextmanager
def _watching(log: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    watchers.append(log)
    try:
        yield log
    finally:
        watchers.remove(log)
