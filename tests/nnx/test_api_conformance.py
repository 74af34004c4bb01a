"""Every name of Flax NNX that a script may use is there, with the same parameters in the same order and the same defaults.

``flax_api.txt`` lists them. What is left out stands in ``docs/from-flax.md`` with the reason.
"""

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import pytest

from nnxtrain import nnx

BOTH_FORMS = {"Optimizer.update", "ModelAndOptimizer.update"}  # (model, grads) and (grads)
TABLE = Path(__file__).with_name("flax_api.txt").read_text().splitlines()
STATUSES = ("same", "better", "left out")
GUIDE = Path(__file__).parents[2] / "docs" / "from-flax.md"


def rows():
    """Name -> (status, difference) of the guide's tables."""
    found = {}
    for line in GUIDE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[1] in STATUSES:
            for name in re.findall(r"`([\w.]+)`", cells[0]):
                found[name] = (cells[1], cells[2])
    return found


ROWS = rows()
NAMES = [line for line in TABLE if line and not line.startswith("#")]


def split_line(line):
    name, signature, origin = re.fullmatch(r"([\w.]+)(\(.*\))?(?: = ([\w.]+))?", line).groups()
    return name, signature, origin


def status_of(name):
    return ROWS.get(name, ("same", ""))[0]


def find(name):
    value = nnx
    for part in name.split("."):
        value = getattr(value, part)
    return value


def parameters_of(value, is_method=False):
    is_bound = inspect.ismethod(value) or isinstance(find_static(value), staticmethod)
    parameters = list(inspect.signature(value).parameters.values())
    return parameters[1:] if is_method and not is_bound else parameters


def find_static(value):
    """The attribute of its class that a function was got from."""
    owner, _, last = getattr(value, "__qualname__", "").rpartition(".")
    cls = getattr(nnx, owner, None)
    return inspect.getattr_static(cls, last, None) if inspect.isclass(cls) else None


def same_default(expected, actual):
    """``expected`` is the table's expression."""
    if isinstance(expected, ast.Name):
        name = expected.id
        if name == "MISSING":
            return type(actual).__name__ == "MissingType"
        if name == "FACTORY":
            return actual is dataclasses._HAS_DEFAULT_FACTORY
        if name == "float32":
            return jnp.dtype(actual) == jnp.float32
        if name in ("tuple", "frozenset"):
            return isinstance(actual, tuple | frozenset | set)
        if inspect.isclass(getattr(nnx, name, None)):
            return actual is getattr(nnx, name) or isinstance(actual, getattr(nnx, name))
        return callable(actual)
    if isinstance(expected, ast.Call):
        return not actual  # frozenset()
    value = ast.literal_eval(expected)
    if isinstance(value, dict):
        return isinstance(actual, Mapping) and not actual
    return value == actual and type(value) is type(actual)


def compare(signature, value, is_method):
    """Say what differs, or return None."""
    if signature == "(*args, **kwargs)":
        return None
    arguments = ast.parse(f"def f{signature}: ...").body[0].args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    wanted = [(a.arg, False, d) for a, d in zip(positional, defaults, strict=True)]
    wanted += [
        (a.arg, True, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    several = [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
    given = parameters_of(value, is_method)
    names = {name for name, _, _ in wanted}
    kinds = inspect.Parameter
    for parameter in given:
        ours = parameter.name not in names and parameter.name not in several
        open_ended = parameter.kind in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
        by_name = parameter.kind is kinds.KEYWORD_ONLY and parameter.default is not kinds.empty
        mode = parameter.name in ("graph", "graph_updates")
        if ours and not (by_name or open_ended or mode or parameter.kind is kinds.POSITIONAL_ONLY):
            return f"has a parameter {parameter.name} more"
    kept = [p for p in given if p.name in names or p.kind is kinds.POSITIONAL_ONLY]
    same_names = len(kept) == len(wanted) and all(
        p.name == name or p.kind is kinds.POSITIONAL_ONLY
        for p, (name, _, _) in zip(kept, wanted, strict=True)
    )
    if not same_names:
        return f"has {[p.name for p in kept]}, not {[name for name, _, _ in wanted]}"
    for parameter, (name, keyword_only, default) in zip(kept, wanted, strict=True):
        if keyword_only != (parameter.kind is kinds.KEYWORD_ONLY):
            return f"{name} is {parameter.kind.description}"
        if (default is None) != (parameter.default is kinds.empty):
            return f"{name} has the default {parameter.default!r}"
        if default is not None and not same_default(default, parameter.default):
            return f"{name} has the default {parameter.default!r}, not {ast.unparse(default)}"
    if set(several) - {p.name for p in given}:
        return f"lacks {several}"
    return None


@pytest.mark.parametrize("line", NAMES, ids=lambda line: split_line(line)[0])
def test_a_name_is_there_as_in_flax(line):
    name, signature, origin = split_line(line)
    owner = name.split(".")[0]
    if "left out" in (status_of(name), status_of(owner)):
        assert ROWS.get(name, ROWS.get(owner))[1], f"say why {name} is left out"
        return
    assert has_attribute(name), f"nnx.{name} is missing"
    if signature is None and origin is None:
        return
    value = find(name)
    if origin is None:
        assert (
            name in BOTH_FORMS or (difference := compare(signature, value, "." in name)) is None
        ), f"nnx.{name} {difference}"
        return
    original = getattr(importlib.import_module(origin), name.split(".")[-1])
    if origin == "jax.random":  # the stream stands in the place of the key
        ours, theirs = parameters_of(value)[1:], parameters_of(original)[1:]
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    elif "." not in name:
        assert value is original


def has_attribute(name):
    try:
        find(name)
    except AttributeError:
        owner, _, last = name.rpartition(".")
        sources = [
            inspect.getsource(c) for c in find(owner).__mro__ if c.__module__.startswith("nnxtrain")
        ]
        return any(f"self.{last} = " in source for source in sources)
    return True


def test_the_guide_has_a_row_for_every_name_and_no_others():
    lines = [split_line(line) for line in NAMES]
    listed = {name for name, _, origin in lines if "." not in name and origin is None}
    assert not listed - set(ROWS), "these have no row in docs/from-flax.md"
    known = {name for name, _, _ in lines}
    for name, (status, reason) in ROWS.items():
        assert name in known or status == "left out", f"docs/from-flax.md names {name}"
        assert status == "same" or reason, f"say in docs/from-flax.md what differs in {name}"
