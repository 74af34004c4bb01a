"""The configuration in a run directory: written resolved, read as data.

A saved file holds no interpolation and no name of an option, so it means the same tomorrow, on
another machine, under another environment. It carries the version of the schema it was written
under; ``RENAMED`` says how its keys are called today.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnxtrain.config.composition import to_container
from nnxtrain.config.schema import SECTIONS, VERSION, Config, keys
from nnxtrain.config.translate import readable_errors
from nnxtrain.errors import InputError, nearest

CONFIG_FILE = "config.yaml"
# version -> {dotted key in files of that version: its dotted key in the next version}
RENAMED: dict[int, dict[str, str]] = {}

log = logging.getLogger(__name__)


def to_yaml(config: Config) -> str:
    """Return a configuration as YAML text that ``load`` reads back to an equal one."""
    import yaml
    from omegaconf._utils import get_omega_conf_dumper  # quotes what its loader takes for a number

    container = _escaped(to_container(config))
    # Written as they are, Unicode's line breaks come back as blanks; escape everything then.
    readable = not re.search("[\x85\u2028\u2029\ufeff]", "".join(_strings(container)))
    return str(
        yaml.dump(
            container, Dumper=get_omega_conf_dumper(), sort_keys=False, allow_unicode=readable
        )
    )


def save(config: Config, path: str | Path) -> None:
    """Write a configuration to a YAML file."""
    Path(path).write_text(to_yaml(config), encoding="utf-8")


def load(path: str | Path) -> Config:
    """Read a configuration that ``save`` wrote, also by an earlier version of nnxtrain.

    Keys that the file does not have yet take today's default, and are logged.

    Raises:
        InputError: the file cannot be read, has unknown keys or wrong types, or is of a newer
            version than this nnxtrain.
    """
    config, defaulted = read(path)
    if defaulted:
        log.warning("%s: older than these keys, at their defaults: %s", path, ", ".join(defaulted))
    return config


def read(path: str | Path) -> tuple[Config, list[str]]:
    """As ``load``, and return the dotted keys that took a default instead of logging them."""
    from omegaconf import OmegaConf

    path = Path(path)
    with readable_errors((), None, ()):
        try:
            stored = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the configuration {path}: {error}") from error
    if not isinstance(stored, dict):
        raise InputError(f"{path}: expected a configuration, got {type(stored).__name__}")
    stored = _renamed(stored, path)
    if unknown := [key for key in _keys(stored) if key not in keys()]:
        hint = nearest(unknown[0], keys())
        raise InputError(f"{path}: no key {unknown[0]!r} in a configuration{hint}")
    with readable_errors((), None, ()):
        merged = OmegaConf.merge(OmegaConf.structured(Config), _escaped(stored))
        if missing := sorted(OmegaConf.missing_keys(merged)):
            raise InputError(f"{path}: {missing[0]} has no value")
        config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    present = set(_keys(stored))
    return config, [key for key in _keys(to_container(config)) if key not in present]


def _renamed(stored: dict[Any, Any], path: Path) -> dict[Any, Any]:
    version = stored.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: version: expected an integer >= 1, got {version!r}")
    if version > VERSION:
        raise InputError(
            f"{path}: written by a newer nnxtrain (configuration version {version}, this one "
            f"reads up to {VERSION}); update nnxtrain"
        )
    for step in range(version, VERSION):
        for old, new in RENAMED.get(step, {}).items():
            _move(stored, old, new)
    return stored | {"version": VERSION}


def _move(stored: dict[Any, Any], old: str, new: str) -> None:
    *parents, last = old.split(".")
    section: Any = stored
    for name in parents:
        section = section.get(name)
        if not isinstance(section, dict):
            return
    if last not in section:
        return
    value = section.pop(last)
    *parents, last = new.split(".")
    section = stored
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value


def _keys(container: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the dotted keys of a configuration, down to where nodes begin."""
    for key, value in container.items():
        yield str(key)
        if key in SECTIONS and isinstance(value, Mapping):
            yield from (f"{key}.{name}" for name in value)


def _escaped(value: Any) -> Any:
    """Escape what OmegaConf would take for an interpolation or for a missing value."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if "${" in value else value
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (*_strings(key), *_strings(item))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value
