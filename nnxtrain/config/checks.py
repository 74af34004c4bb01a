"""Look a whole configuration over before data or devices are touched."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nnxtrain.config import schema
from nnxtrain.config.build import KEYS, MISSING, NAMED, as_node, is_node
from nnxtrain.config.optim_checks import group_nodes, optim_problems
from nnxtrain.config.signature import accepts, is_required, parameters, spelled, stays_unbuilt
from nnxtrain.config.target import locate
from nnxtrain.errors import InputError, nearest

# Given by the run to any parameter of that name, so a configuration need not have them.
RUNTIME = (
    "rngs",
    "input_shape",
    "in_features",
    "num_features",
    "num_classes",
    "vocab_size",
    "num_targets",
    "learning_rate",
    "total_steps",
    "steps_per_epoch",
    "spec",
    "seed",
)

Problem = tuple[str, str]  # a key and what is wrong with it


def check(
    config: schema.Config,
    *,
    packages: Sequence[str] = (),
    where: Callable[[str], str] = lambda key: "",
    nodes: Sequence[str] = schema.NODES,
) -> None:
    """Check values and ranges, every ``_target_``, and the arguments against its signature.

    It imports the modules that hold the targets, and builds nothing.

    Args:
        packages: packages of the user that ``_target_`` may name.
        where: gives the file or override that a key comes from, for the message.
        nodes: the nodes to look at, all by default.

    Raises:
        InputError: one line about the first problem found.
    """
    for key, problem in problems(config, packages, nodes):
        origin = where(key)
        raise InputError(f"{origin + ': ' if origin else ''}{key}: {problem}")


def problems(
    config: schema.Config, packages: Sequence[str] = (), nodes: Sequence[str] = schema.NODES
) -> Iterator[Problem]:
    """Yield every problem of a configuration."""
    yield from schema.problems(config)
    for key in nodes:
        node: Any = config
        for name in key.split("."):
            node = getattr(node, name)
        if node is None and key == "optim.schedule":
            continue
        named = {f"logger.{name}": node[name] for name in node} if key == "logger" else {key: node}
        for name, item in named.items():
            if not is_node(item):
                choose = f"; choose it with {name.replace('.', '=')}" if key == "logger" else ""
                if key == "optim.schedule" and isinstance(item, str):
                    choose = f"; choose it with optim/schedule={item}, or null for a constant rate"
                yield name, f"expected a node with _target_, got {item!r}{choose}"
            else:
                yield from _node(name, item, packages)
    if "optim.optimizer" in nodes:
        for key, node in group_nodes(config.optim):
            if is_node(node):
                yield from _node(key, node, packages)
            else:
                yield key, f"expected a node with _target_, got {node!r}"
        yield from optim_problems(config.optim, packages)


def _node(key: str, node: Mapping[str, Any], packages: Sequence[str]) -> Iterator[Problem]:
    try:
        target = locate(node["_target_"], packages)
    except InputError as error:
        yield f"{key}._target_", str(error)
        return
    name, known = node["_target_"], parameters(target)
    yield from _shape(key, node)
    args = node.get("_args_")
    args = args if isinstance(args, list) else []

    given = {argument: value for argument, value in node.items() if argument not in KEYS}
    by_position = _by_position(known, len(args))
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    named = [p.name for p in known.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for argument in given:
        if argument in by_position:
            yield f"{key}.{argument}", f"{name} gets {argument!r} from _args_ too"
        elif argument not in named and not open_ended:
            hint = nearest(argument, named) or f" (it takes {', '.join(named) or 'none'})"
            yield f"{key}.{argument}", f"{name} has no argument {argument!r}{hint}"
    for argument, value in given.items():
        yield from _argument(f"{key}.{argument}", value, known.get(argument), name, packages)
    for position, value in enumerate(args):
        place = f"{key}._args_[{position}]"
        parameter = known[by_position[position]] if position < len(by_position) else None
        yield from _argument(place, value, parameter, name, packages)
    if len(args) > len(by_position) and not any(p.kind is p.VAR_POSITIONAL for p in known.values()):
        yield f"{key}._args_", f"{name} takes at most {len(by_position)} positional arguments"

    if not node.get("_partial_", False):
        for argument, parameter in known.items():
            if is_required(parameter) and argument not in (*given, *by_position, *RUNTIME):
                yield f"{key}.{argument}", f"{name} needs {argument!r} and nothing gives it"


def _argument(
    key: str,
    value: Any,
    parameter: inspect.Parameter | None,
    name: str,
    packages: Sequence[str],
) -> Iterator[Problem]:
    if parameter is not None and stays_unbuilt(parameter.annotation):
        yield from _unbuilt(key, value, packages)
        return
    if parameter is not None:
        yield from _value(key, value, parameter, name)
    yield from _nested(key, value, packages)


def _unbuilt(key: str, value: Any, packages: Sequence[str]) -> Iterator[Problem]:
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unbuilt(f"{key}[{position}]", item, packages)
        return
    try:
        node = as_node(value, packages, dict.fromkeys(NAMED, 1))  # any number will do
    except InputError as error:
        yield key, str(error)
    else:
        yield from _node(key, node, packages)


def _shape(key: str, node: Mapping[str, Any]) -> Iterator[Problem]:
    """Check the special keys themselves."""
    for special in node:
        if not isinstance(special, str):
            yield f"{key}.{special}", f"an argument's name must be a string, got {special!r}"
        elif special.startswith("_") and special not in KEYS:
            hint = nearest(special, KEYS)
            yield f"{key}.{special}", f"not a key of a node (only {', '.join(KEYS)}){hint}"
    if not isinstance(node.get("_args_", []), list):
        yield f"{key}._args_", f"expected a list, got {node['_args_']!r}"
    if not isinstance(node.get("_partial_", False), bool):
        yield f"{key}._partial_", f"expected true or false, got {node['_partial_']!r}"


def _by_position(known: Mapping[str, inspect.Parameter], count: int) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in known.values() if p.kind in kinds][:count]


def _value(key: str, value: Any, parameter: inspect.Parameter, name: str) -> Iterator[Problem]:
    if value == MISSING:
        yield key, f"the value is missing ('???'); give {key}=VALUE"
    elif not _holds_node(value) and not accepts(parameter.annotation, value):
        wanted = spelled(parameter.annotation)
        yield key, f"{name} wants {wanted}, got {value!r} ({type(value).__name__})"


def _holds_node(value: Any) -> bool:
    """A list or dict with nodes in it has a type only once they are built."""
    if is_node(value):
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_node(item) for item in items)


def _nested(key: str, value: Any, packages: Sequence[str]) -> Iterator[Problem]:
    if is_node(value):
        yield from _node(key, value, packages)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _nested(f"{key}.{name}", item, packages)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _nested(f"{key}[{position}]", item, packages)
