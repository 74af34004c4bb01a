"""What can stand where the cursor is: asked by the shells' completion scripts.

Everything here works by names of files and fields, as each press of TAB starts a new process: neither Hydra nor JAX is
imported.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nnxtrain.cli.arguments import Command

SHELLS = ("bash", "zsh", "fish")


def answer(arguments: Sequence[str]) -> str:
    """Return the candidates, one a line, for ``[SHELL, LINE]``, the line being cut off at the cursor.

    Bash takes ``=`` for the end of a word, so it gets what comes after the last one.
    """
    shell, line = arguments
    try:
        found = candidates(words(line))
    except Exception:  # in the middle of typing nobody wants to read an error
        found = []
    if shell == "bash" and "=" in (current := words(line)[-1]):
        cut = current.rindex("=") + 1
        found = [candidate[cut:] for candidate in found]
    return "".join(f"{candidate}\n" for candidate in found)


def words(line: str) -> list[str]:
    """Return the words of an unfinished command line, the last of which is being typed.

    >>> words("nnxtrain fit 'model.hid"), words("nnxtrain fit ")
    (['nnxtrain', 'fit', 'model.hid'], ['nnxtrain', 'fit', ''])
    """
    found = [word.replace("'", "").replace('"', "") for word in line.split()]
    return found if line and not line[-1].isspace() else [*found, ""]


def candidates(line: Sequence[str]) -> list[str]:
    """Return the sorted words that may stand in the place of the last one.

    >>> candidates(["nnxtrain", "conf"]), candidates(["nnxtrain", "fit", "trainer.batch"])
    (['config'], ['trainer.batch_size='])
    """
    from nnxtrain.cli.main import VERBS, _command, _verb

    *before, current = line[1:]
    if not before:
        return _matching([*(verb.split()[0] for verb in VERBS), "--help", "--version"], current)
    shown = [verb for verb, (*_, told) in VERBS.items() if told]
    follow = [verb.split()[1] for verb in shown if before == [verb.split()[0]] and " " in verb]
    if len(before) == 1 and before[0] not in VERBS:
        return _matching(follow, current)
    verb, typed = _verb(before)
    return _matching([*follow, *_arguments(_command(verb), typed, current)], current)


def _arguments(command: type[Command], typed: Sequence[str], current: str) -> Iterable[str]:
    fields = {field.name: field for field in dataclasses.fields(command)}
    flags = {
        f"--{n.replace('_', '-')}": f for n, f in fields.items() if f.metadata["kind"] == "flag"
    }
    last = flags.get(typed[-1]) if typed else None
    if last is not None and last.default is not False:  # its value
        return _paths(current) if last.metadata["metavar"] == "DIR" else ()
    if current.startswith("-"):
        return [*flags, "--help"]
    named = {n: f for n, f in fields.items() if f.metadata["kind"] == "argument"}
    name, equals, value = current.partition("=")
    if equals and name in named:
        return (f"{name}={item}" for item in _values(named[name], value, typed))
    rest = next(
        (f.metadata["metavar"] for f in fields.values() if f.metadata["kind"] == "rest"), ""
    )
    return [*(f"{name}=" for name in named), *_rest(rest, command, typed, current)]


def _values(field: dataclasses.Field[Any], value: str, typed: Sequence[str]) -> Iterable[str]:
    if field.metadata["choices"]:
        return list(field.metadata["choices"])
    if field.name == "run":
        return _runs(typed)
    if field.name == "checkpoint":
        return ["best", "last"]
    return _paths(value) if field.metadata["metavar"] in ("DIR", "FILE", "FILES") else ()


def _rest(
    metavar: str, command: type[Command], typed: Sequence[str], current: str
) -> Iterable[str]:
    from nnxtrain.config.tree import options, search_dirs

    if metavar == "DIR":
        return _runs(typed)
    if metavar == "SHELL":
        return SHELLS
    if metavar.startswith("SWEEP"):
        return _sweeps(typed)
    if not metavar:
        return ()
    tree = options(search_dirs(_after("--config-dir", typed)))
    if metavar == "GROUP":
        return tree
    if "NAME" in metavar and not any("=" not in word for word in typed):
        return tree["data"]
    own = {}
    if command.__name__ == "Sweep":
        from nnxtrain.sweep.spec import SweepConfig

        own = _keys("sweep.", SweepConfig)
    found = [*_overrides(tree, own, typed, current)]
    for name in {"Fit": ("run", "from"), "Check": ("from",)}.get(command.__name__, ()):
        named = current.startswith(f"{name}=")
        found += [f"{name}={run}" for run in _runs(typed)] if named else [f"{name}="]
    return found


def _overrides(
    tree: Mapping[str, Mapping[str, Path]],
    own: Mapping[str, Any],
    typed: Sequence[str],
    current: str,
) -> Iterable[str]:
    """Groups with their options, and keys with the values of those that have few; ``own`` are keys of the command."""
    from nnxtrain.config.schema import SECTIONS, Config

    name, equals, _ = current.partition("=")
    if equals and name in tree:
        return (f"{name}={option}" for option in tree[name])
    keys = dict.fromkeys(_node_keys(tree, typed), "") | dict(own)
    for prefix, of in [("", Config), *((f"{key}.", of) for key, of in SECTIONS.items())]:
        hints = typing.get_type_hints(of)
        keys |= {f"{prefix}{f.name}": hints[f.name] for f in dataclasses.fields(of)}
    if equals:
        return (f"{name}={value}" for value in _few(keys.get(name)))
    if "." in current:
        return (f"{key}=" for key in keys)
    plain = [f"{key}=" for key in keys if "." not in key and key not in (*tree, *SECTIONS)]
    return [
        *plain,
        *(f"{group}=" for group in tree),
        *(f"{key.partition('.')[0]}." for key in keys if "." in key),
    ]


def _few(hint: Any) -> list[str]:
    """The values of a type that has few."""
    kinds = typing.get_args(hint) or (hint,)
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, enum.Enum)]
    values = [str(member.value) for kind in enums for member in kind]
    values += ["true", "false"] if bool in kinds else []
    values += [kind for kind in kinds if isinstance(kind, str)]  # of a Literal
    return values + (["null"] if values and type(None) in kinds else [])


def _node_keys(tree: Mapping[str, Mapping[str, Path]], typed: Sequence[str]) -> Iterable[str]:
    """The keys that the files of the chosen options list, those of ``nnxtrain_fit.yaml`` by default."""
    import yaml

    from nnxtrain.config.tree import PRIMARY, shipped_dir

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    primary = (shipped_dir() / f"{PRIMARY}.yaml").read_text(encoding="utf-8")
    chosen = dict(re.findall(r"^  - (\w+): (\w+)", primary, re.MULTILINE))
    chosen |= {word.partition("=")[0]: word.partition("=")[2] for word in typed if "=" in word}
    for group, option in chosen.items():
        if (file := tree.get(group, {}).get(option)) is not None and group != "config":
            content = yaml.load(file.read_text(encoding="utf-8"), loader) or {}
            yield from (f"{group}.{key}" for key in _below(content))


def _below(node: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _below(value, f"{prefix}{key}.")
        elif key != "defaults":
            yield f"{prefix}{key}"


def _keys(prefix: str, of: Any) -> dict[str, Any]:
    """The keys of a dataclass and those in it, with their types."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(of).items():
        found |= (
            _keys(f"{prefix}{name}.", hint)
            if dataclasses.is_dataclass(hint)
            else {f"{prefix}{name}": hint}
        )
    return found


def _runs(typed: Sequence[str]) -> list[str]:
    """The run directories, without looking into them."""
    return [str(path.parent) for path in _runs_dir(typed).glob("[!.]*/run.json")]


def _sweeps(typed: Sequence[str]) -> list[str]:
    """The names of the sweeps."""
    return [path.parent.name for path in _runs_dir(typed).glob("sweeps/*/sweep.json")]


def _runs_dir(typed: Sequence[str]) -> Path:
    return Path(next((word[9:] for word in typed if word.startswith("runs_dir=")), "runs"))


def _paths(text: str) -> list[str]:
    """The files and folders that begin so; folders end with a slash."""
    head, slash, start = text.rpartition("/")
    folder = Path(head + slash or ".").expanduser()
    return [
        f"{head}{slash}{path.name}{'/' if path.is_dir() else ''}"
        for path in folder.iterdir()
        if path.name.startswith(start) and (start.startswith(".") or not path.name.startswith("."))
    ]


def _after(flag: str, typed: Sequence[str]) -> list[str]:
    return [value for word, value in pairwise(typed) if word == flag]


def _matching(found: Iterable[str], current: str) -> list[str]:
    return sorted({candidate for candidate in found if candidate.startswith(current)})
