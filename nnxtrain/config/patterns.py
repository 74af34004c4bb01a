"""Patterns over dotted paths, such as those of a model's parameters: ``"head"``, ``"**.bias"``, ``"re:.*norm.*"``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nnxtrain.errors import InputError, nearest


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression that a path has to match as a whole.

    ``re:`` begins a regular expression. Anything else is a glob: a path is compared part by part, ``*`` stands for any
    characters of one part, ``?`` for one of them, ``[0-3]`` for one of a range (``[!0-3]``: not of it), and a part
    ``**`` for any number of parts, none included. A glob that matches a module means all that is in it.

    Raises:
      InputError: the pattern is empty or no regular expression.

    >>> [bool(compile_pattern("head").fullmatch(path)) for path in ("head.kernel", "head2.kernel")]
    [True, False]
    >>> [bool(compile_pattern("**.bias").fullmatch(path)) for path in ("bias", "a.b.bias", "a.bias2")]
    [True, True, False]
    >>> bool(compile_pattern("re:.*bias").fullmatch("a.b.bias"))
    True
    """
    if not pattern.removeprefix("re:"):
        raise InputError("the pattern is empty")
    expression = pattern[3:] if pattern.startswith("re:") else _translated(pattern)
    try:
        return re.compile(expression)
    except re.error as error:
        raise InputError(f"{pattern!r} is no pattern: {error}") from error


def matching(pattern: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a pattern matches.

    Raises:
      InputError: none, with the path (or module) nearest to the pattern.

    >>> matching("head.*", ["conv.kernel", "head.bias"])
    ['head.bias']
    >>> matching("haed.*", ["conv.kernel", "head.bias"])
    Traceback (most recent call last):
    nnxtrain.errors.InputError: 'haed.*' matches no parameter; did you mean 'head.*'?
    """
    paths = list(paths)
    compiled = compile_pattern(pattern)
    if found := [path for path in paths if compiled.fullmatch(path)]:
        return found
    parts = [path.split(".") for path in paths]
    modules = {".".join(p[:depth]) for p in parts for depth in range(1, len(p))}
    candidates = [*paths, *modules, *(f"{module}.*" for module in modules)]
    top = ", ".join(dict.fromkeys(p[0] for p in parts))
    hint = nearest(pattern.removeprefix("re:"), candidates) or f" (the model has {top})"
    raise InputError(f"{pattern!r} matches no parameter{hint}")


def _translated(glob: str) -> str:
    """Each part takes the dot after it, or the end of the path; what follows the last one lies in that module."""
    parts = [
        r"(?:[^.]+(?:\.|\Z))*" if part == "**" else rf"(?=[^.]){_translated_part(part)}(?:\.|\Z)"
        for part in glob.split(".")
    ]
    return "".join(parts) + ".*"


def _translated_part(part: str) -> str:
    pieces = re.split(r"(\*|\?|\[!?[^\]]+\])", part)
    wild = {"*": "[^.]*", "?": "[^.]"}
    return "".join(
        wild.get(piece) or re.sub(r"^\[!", "[^", piece) if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
    )
