"""Configurations side by side, as their files have them: nothing is checked or built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnxtrain.errors import InputError


def flat(path: str | Path) -> dict[str, Any]:
    """Return every value of a saved configuration by its dotted key.

    Raises InputError for a file that cannot be read.
    """
    import yaml
    from omegaconf._utils import get_yaml_loader  # reads 1e-3 as a number

    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), get_yaml_loader())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"cannot read the configuration {path}: {first}") from error
    return flattened(content) if isinstance(content, dict) else {}


def flattened(container: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested dicts by dotted key; empty dicts vanish.

    >>> flattened({"seed": 0, "model": {"hidden": [3]}, "logger": {}})
    {'seed': 0, 'model.hidden': [3]}
    """
    found: dict[str, Any] = {}
    for key, value in container.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return, for each key that is not the same in all, its values: ``...`` (Ellipsis) where one lacks it.

    >>> differing([{"seed": 0, "name": "x"}, {"seed": 1, "name": "x", "a": 2}])
    {'seed': [0, 1], 'a': [Ellipsis, 2]}
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    found = {key: [config.get(key, ...) for config in configs] for key in keys}
    return {key: values for key, values in found.items() if any(v != values[0] for v in values)}


def shown(value: Any) -> str:
    """Return a value as one would type it in an override; nothing for Ellipsis.

    >>> [shown(x) for x in (None, True, [64, 64], "relu", 0.001, ...)]
    ['null', 'true', '[64,64]', 'relu', '0.001', '']
    """
    if value is ...:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return str(value)
