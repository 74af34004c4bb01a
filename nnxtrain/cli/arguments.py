"""Commands as dataclasses: their fields are their flags and arguments, and the parser follows.

A field made with ``flag`` is ``--name`` (a switch if its default is False, repeatable if it is a
tuple); one made with ``argument`` is ``name=VALUE`` (repeatable likewise); the one made with ``rest`` takes everything
else. Arguments and flags come in any order; after ``--`` nothing is a flag.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nnxtrain.errors import InputError, nearest


def flag(help: str, default: Any = False, *, short: str = "", metavar: str = "") -> Any:
    """Return a field for ``--name``."""
    metadata = {"kind": "flag", "help": help, "short": short, "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


def argument(
    help: str, default: Any = None, *, metavar: str, choices: Sequence[str] | None = None
) -> Any:
    """Return a field for ``name=VALUE``."""
    metadata = {"kind": "argument", "help": help, "metavar": metavar, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def rest(help: str, *, metavar: str) -> Any:
    """Return a field for everything that is neither a flag nor an argument."""
    metadata = {"kind": "rest", "help": help, "metavar": metavar}
    return dataclasses.field(default=(), metadata=metadata)


@dataclass(frozen=True)
class Command:
    """Base of the commands; the docstring of each is its help text."""

    debug: bool = flag("show the traceback of an error")

    def __call__(self) -> int:
        """Run, and return the exit code."""
        raise NotImplementedError


C = TypeVar("C", bound=Command)


def parse(command: type[C], tokens: Sequence[str], verb: str) -> C:
    """Return the command that ``tokens`` describe.

    Raises:
        InputError: an unknown flag or argument, a value that is missing or not among the choices.
    """
    flags, arguments, remaining = _by_kind(command)
    names = {_spelled(f): f for f in flags}
    names |= {f"-{f.metadata['short']}": f for f in flags if f.metadata["short"]}
    values: dict[str, Any] = {}
    others: list[str] = []
    queue = list(tokens)
    while queue:
        token = queue.pop(0)
        if token == "--":
            others += queue
            break
        if not token.startswith("-"):
            key, equals, value = token.partition("=")
            item = arguments.get(key) if equals else None
            if item is None:
                others.append(token)
                continue
            chosen = _chosen(item, value, token)
            several = isinstance(item.default, tuple)
            values[item.name] = (*values.get(item.name, ()), chosen) if several else chosen
            continue
        name, equals, value = token.partition("=")
        if name not in names:
            bare = name.lstrip("-").replace("-", "_")
            if bare in arguments:
                example = f"{bare}={value or arguments[bare].metadata['metavar']}"
                raise InputError(f"{verb}: no flag {name!r}; write {example}, without dashes")
            known = [*names, "--help"]
            hint = nearest(name, known) or f" (known: {', '.join(known)})"
            raise InputError(f"{verb}: no flag {name!r}{hint}")
        item = names[name]
        if item.default is False:
            if equals:
                raise InputError(f"{verb}: {name} takes no value, got {value!r}")
            values[item.name] = True
            continue
        if not equals:
            if not queue:
                raise InputError(f"{verb}: {name} needs a value: {name} {item.metadata['metavar']}")
            value = queue.pop(0)
        several = isinstance(item.default, tuple)
        values[item.name] = (*values.get(item.name, ()), value) if several else value
    if remaining:
        values[remaining.name] = tuple(others)
    elif others:
        choices = [f"{name}=" for name in arguments] + [_spelled(f) for f in flags]
        hint = nearest(others[0], choices)
        expected = ", ".join(f"{name}=" for name in arguments) or "none"
        raise InputError(f"{verb}: unexpected argument {others[0]!r}{hint} (it takes {expected})")
    return command(**values)


def help_text(command: type[Command], verb: str) -> str:
    """Return the text of ``nnxtrain VERB --help``."""
    flags, arguments, remaining = _by_kind(command)
    usage = [f"nnxtrain {verb}"]
    rows: list[tuple[str, str]] = []
    if remaining:
        usage.append(f"[{remaining.metadata['metavar']} ...]")
        rows.append((remaining.metadata["metavar"], remaining.metadata["help"]))
    for item in arguments.values():
        usage.append(f"[{item.name}={item.metadata['metavar']}]")
        rows.append((f"{item.name}={item.metadata['metavar']}", item.metadata["help"]))
    usage.append("[flags]")
    options = []
    for item in flags:
        short = f"-{item.metadata['short']}, " if item.metadata["short"] else ""
        options.append(
            (f"{short}{_spelled(item)} {item.metadata['metavar']}", item.metadata["help"])
        )
    options.append(("-h, --help", "show this text"))
    width = 2 + max(len(left) for left, _ in [*rows, *options])
    lines = [f"usage: {' '.join(usage)}", "", inspect.cleandoc(command.__doc__ or "")]
    for title, table in (("arguments", rows), ("flags", options)):
        if table:
            lines += ["", f"{title}:", *(f"  {left:<{width}}{text}" for left, text in table)]
    return "\n".join(lines)


def _by_kind(
    command: type[Command],
) -> tuple[list[dataclasses.Field[Any]], dict[str, dataclasses.Field[Any]], Any]:
    fields = dataclasses.fields(command)
    flags = [f for f in fields if f.metadata["kind"] == "flag"]
    arguments = {f.name: f for f in fields if f.metadata["kind"] == "argument"}
    remaining = next((f for f in fields if f.metadata["kind"] == "rest"), None)
    return flags, arguments, remaining


def _spelled(item: dataclasses.Field[Any]) -> str:
    return "--" + item.name.replace("_", "-")


def _chosen(item: dataclasses.Field[Any], value: str, token: str) -> str:
    if not value:
        raise InputError(f"{token} is empty; give {item.name}={item.metadata['metavar']}")
    choices = item.metadata["choices"]
    if choices and value not in choices:
        listed = ", ".join(choices)
        raise InputError(f"{token}: expected one of {listed}{nearest(value, choices)}")
    return value
