"""Hydra's, OmegaConf's and YAML's exceptions, turned into one line each.

What an exception knows is spread over its attributes, its cause and its message; the messages
themselves are many lines long and speak of Hydra's internals.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnxtrain.config.overrides import as_typed, override_of
from nnxtrain.config.tree import groups, option_file
from nnxtrain.errors import InputError, NnxtrainError, nearest

_KINDS = {
    "Integer": "an integer",
    "Float": "a number",
    "Boolean": "true or false",
    "bool": "true or false",
}


@contextlib.contextmanager
def readable_errors(overrides: Sequence[str], loader: Any, dirs: Sequence[Path]) -> Iterator[None]:
    """Raise every exception of composing as an ``InputError`` of one line; keep it as the cause."""
    try:
        yield
    except NnxtrainError:
        raise
    except Exception as error:
        raise InputError(_Translation(error, overrides, loader, dirs).line()) from error


class _Translation:
    def __init__(
        self, error: Exception, overrides: Sequence[str], loader: Any, dirs: Sequence[Path]
    ) -> None:
        self.error, self.overrides, self.loader, self.dirs = error, overrides, loader, dirs
        self.groups = groups(loader) if loader else []
        self.first = (str(error).splitlines() or [type(error).__name__])[0]

    def line(self) -> str:
        import yaml
        from hydra.errors import MissingConfigException, OverrideParseException
        from omegaconf.errors import OmegaConfBaseException, ValidationError

        error = self.error
        if isinstance(error, yaml.MarkedYAMLError):
            return self.syntax(error)
        if isinstance(error, OverrideParseException):
            return self.override_syntax(error)
        if isinstance(error, MissingConfigException):
            return self.unknown_option(error)
        inner = error
        while inner is not None and not getattr(inner, "full_key", None):
            inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
        if isinstance(inner, ValidationError):
            return self.wrong_type(inner)
        if isinstance(inner, OmegaConfBaseException):
            return self.bad_key(inner)
        return self.plain()

    def syntax(self, error: Any) -> str:
        mark = error.problem_mark
        place = f"{mark.name}:{mark.line + 1}: " if mark else ""
        return f"{place}not valid YAML: {error.problem or error.context}"

    def override_syntax(self, error: Any) -> str:
        text = as_typed(error.override)
        if "=" not in text:
            recipes = self.loader.get_group_options("config")
            hint = nearest(text, recipes).replace("mean '", "mean 'config=")
            return f"override {text!r} is not of the form KEY=VALUE{hint}"
        reason = re.sub(r"^Error parsing override .*?\n", "", str(error)).splitlines()[0]
        reason = reason.partition(" expecting ")[0]
        key, _, value = text.partition("=")
        quoted = value if '"' in value else f'"{value}"'
        return (
            f"override {text!r}: {reason}; quote a value that holds any of = , [ ] {{ }} : "
            f"'{key}={quoted}'"
        )

    def unknown_option(self, error: Any) -> str:
        name = error.missing_cfg_file
        group = name.rpartition("/")[0]
        option = name.removeprefix(f"{group}/")
        options = error.options or self.loader.get_group_options(group)
        listed = ", ".join(sorted(options))
        hint = nearest(option, options)
        return f"{self.origin(group, option)}no {group} {option!r}{hint} ({group}: {listed})"

    def wrong_type(self, error: Any) -> str:
        reason, key = str(error.msg).splitlines()[0], self.key(error)
        place = f"{self.origin(key)}{key}: "
        if match := re.search(r"could not be converted to (\w+)|not a valid (bool)", reason):
            wanted = _KINDS.get(match[1] or match[2], match[1])
            return f"{place}expected {wanted}, got {error.value!r}"
        if match := re.search(r"expected one of \[(.*)\]", reason):
            hint = nearest(str(error.value), match[1].split(", "))
            return f"{place}expected one of {match[1]}, got {error.value!r}{hint}"
        if "is not a ListConfig" in reason:
            return f"{place}expected a list, as in {key}=[VALUE], got {error.value!r}"
        if key.endswith("]") and error.value == {}:
            return f"{place}there is no such item; give the whole list"
        if re.search(r"Cannot (assign|convert)|is not a dict|incompatible|not a subclass", reason):
            return f"{place}expected a group of keys, got {error.value!r}"
        return f"{place}{reason}"

    def bad_key(self, error: Any) -> str:
        from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue

        key, reason = self.key(error), str(error.msg or error).splitlines()[0]
        place = self.origin(key)
        if isinstance(error, MissingMandatoryValue):
            return f"{place}{key} has no value; give {key}=VALUE"
        if "Cannot merge DictConfig with ListConfig" in reason:
            return f"{place}{key}: expected a list, as in {key}=[VALUE]"
        if not isinstance(error, ConfigAttributeError | ConfigKeyError):
            return f"{place}{key}: {reason}"
        if place.startswith("override 'config."):
            return f"{place}config only chooses a recipe; leave 'config.' out"
        if key == "config" and place:
            return f"{place}a recipe must begin with the line '# @package _global_'"
        parent = getattr(error, "parent_node", None)
        siblings = [str(name) for name in parent] if parent is not None else []
        parent_key, _, name = key.rpartition(".")
        if not parent_key:
            siblings = sorted({*siblings, *self.groups} - {"hydra"})
            if "/" in name:
                listed = nearest(name, self.groups) or f" (groups: {', '.join(self.groups)})"
                return f"{place}no config group {name!r}{listed}"
        holder = f"{parent_key} has" if parent_key else "there is"
        listed = nearest(name, siblings) or (f" (known: {', '.join(siblings)})" if siblings else "")
        return f"{place}{holder} no key {name!r}{listed}"

    def plain(self) -> str:
        """The exceptions that only have a message."""
        text = str(self.error)
        if match := re.search(r"Ambiguous value for argument '(.*)'", self.first):
            key, _, value = match[1].partition("=")
            return (
                f"override {match[1]!r} has several values: `nnxtrain sweep` runs them all; or write "
                f"'{key}=[{value}]' for a list"
            )
        if match := re.search(r"Sweep parameters '(.*)' requires", text):
            return f"override {match[1]!r} is a sweep: `nnxtrain sweep` runs its values"
        if match := re.search(r"Could not override '(.*?)'\. No match in the defaults", text):
            recipe = re.match(r"In '(.*?)'", text)
            place = f"{self.file(recipe[1])}: " if recipe else ""
            if match[1] in self.groups:
                outer = match[1].rpartition("/")[0]
                return (
                    f"{place}the {outer} that was chosen has no {match[1]} in its defaults; to add one write "
                    f"+{match[1]}=OPTION"
                )
            listed = nearest(match[1], self.groups) or f" (groups: {', '.join(self.groups)})"
            return f"{place}defaults: no group {match[1]!r}{listed}"
        if match := re.search(r"You must specify '(.*?)'", text):
            options = ", ".join(self.loader.get_group_options(match[1]))
            return f"{match[1]} is not chosen; give {match[1]}=OPTION ({options})"
        if "Config group override must be a string" in text:
            chosen = [o for o in self.overrides if o.partition("=")[0] in self.groups]
            group = chosen[-1].partition("=")[0] if chosen else "config"
            options = ", ".join(self.loader.get_group_options(group))
            return (
                f"override {chosen[-1] if chosen else ''!r}: expected the name of an option "
                f"({group}: {options})"
            )
        if match := re.search(r"Could not delete from config\. '?(.*?)'? ", text):
            key = match[1]  # Hydra takes a null for a key that is not there
            null = f"; of a key that is null, give both: {key}=0 '~{key}'" if "." in key else ""
            return f"override '~{key}': there is no such key or value to delete{null}"
        for override in self.overrides:
            if override in text or override.lstrip("+~").partition("=")[0] in text:
                return f"override {override!r}: {self.first.rstrip('.')}"
        given = " ".join(self.overrides)
        return f"cannot compose {given or 'the configuration'!r}: {self.first}"

    def key(self, error: Any) -> str:
        """The whole key; of what stands in a list, OmegaConf tells only the end."""
        from nnxtrain.config.schema import GroupConfig

        key = str(error.full_key)
        in_group = error.object_type is GroupConfig and not key.startswith("optim.groups")
        return f"optim.groups[].{key}" if in_group else key

    def origin(self, key: str, option: str | None = None) -> str:
        """Return ``"override 'x=1': "`` or ``"FILE: "`` for what brought ``key`` in, or ``""``."""
        override = override_of(key, self.overrides)
        if override and (option in override if option else not self.reading()):
            return f"override {override!r}: "
        if reading := self.reading():
            return f"{self.file(reading)}: "
        recipes = [o.partition("=")[2] for o in self.overrides if o.startswith("config=")]
        if option and recipes:  # the recipe chose it
            return f"{self.file(f'config/{recipes[-1]}')}: "
        return ""

    def reading(self) -> str:
        """The config that Hydra was reading when it failed, as ``group/option``, or ``""``."""
        match = re.match(r"In '(.+?)'", str(self.error))
        return match[1] if match and "/" in match[1] else ""

    def file(self, name: str) -> str:
        return str(option_file(name, self.dirs) or name)
