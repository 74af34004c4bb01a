"""From overrides to a typed, resolved configuration.

    compose(["config=lenet_cifar5", "trainer.epochs=3"])

Hydra composes the tree under the schema; what comes out are plain dataclasses with plain lists and
dicts in them, all interpolations resolved, nothing of Hydra or OmegaConf left.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.config.overrides import open_nodes, override_of
from nnxtrain.config.schema import SECTIONS, Config, keys
from nnxtrain.config.translate import readable_errors
from nnxtrain.config.tree import PRIMARY, config_loader, option_file, search_dirs, setting
from nnxtrain.errors import InputError, nearest


@dataclass(frozen=True)
class Composition:
    """A configuration and where its values came from."""

    config: Config
    overrides: tuple[str, ...]
    choices: dict[str, str]  # group -> the option chosen
    dirs: tuple[Path, ...]

    def where(self, key: str) -> str:
        """Return the override or the file that gave ``key`` its value, or ``""``."""
        if override := override_of(key, self.overrides):
            return f"override {override!r}"
        # A recipe's values win over an option's, and those over the values of an option that it chooses itself.
        groups = [g for g in sorted(self.choices) if key.startswith(g.replace("/", ".") + ".")]
        keys = {"config": key} | {group: key[len(group) + 1 :] for group in groups}
        names = {group: f"{group}/{self.choices.get(group)}" for group in keys}
        setters = [
            g for g, inner in keys.items() if setting(names[g], inner, self.dirs) is not None
        ]
        group = (setters or groups or ["config"])[0]
        return str(option_file(names[group], self.dirs) or "")


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str | Path] = ()) -> Config:
    """Return the configuration of ``overrides``, resolved and validated against the schema.

    Args:
        overrides: in Hydra's grammar, e.g. ``["config=lenet_cifar5", "model.hidden=[64]"]``.
        config_dirs: folders searched before ``./configs``, ``$NNXTRAIN_CONFIG_PATH`` and ours.

    Raises:
        InputError: one line: what is wrong, where, and the nearest valid name.

    >>> compose(["optim=sgd", "optim.learning_rate=1e-2"]).optim.learning_rate
    0.01
    """
    return compose_with_origins(overrides, config_dirs).config


def compose_with_origins(
    overrides: Sequence[str], config_dirs: Sequence[str | Path] = (), loader: Any = None
) -> Composition:
    """As ``compose``, together with what is needed to say where a value came from.

    ``loader`` may be the one of an earlier call; making one takes a few milliseconds.
    """
    return Composer(config_dirs, loader).compose(overrides)


class Composer:
    """Composes many configurations from the same folders. Files are read once for each choice of options, so that the
    thousands of a sweep, which differ in values, cost little more than their values do.
    """

    def __init__(self, config_dirs: Sequence[str | Path] = (), loader: Any = None) -> None:
        self.loader = loader or config_loader(config_dirs)
        self.dirs = tuple(search_dirs(config_dirs))
        self._read: dict[tuple[str, ...], tuple[Any, dict[str, str]]] = {}

    def compose(self, overrides: Sequence[str]) -> Composition:
        """Return a configuration; see :func:`compose` for what it may raise."""
        from omegaconf import OmegaConf

        with readable_errors(overrides, self.loader, self.dirs):
            composed, choices = self._composed(open_nodes(overrides))
            _reject_unknown(composed, overrides)
            if missing := sorted(OmegaConf.missing_keys(composed)):
                override = override_of(missing[0], overrides)
                place = f"override {override!r}: " if override else ""
                raise InputError(f"{place}{missing[0]} has no value; give {missing[0]}=VALUE")
            config = OmegaConf.to_object(composed)
        assert isinstance(config, Config)
        chosen = any(text.startswith(("model=", "data=")) for text in overrides)
        if chosen and override_of("name", overrides) is None:  # not what the recipe is named for
            config.name = f"{choices.get('model')}_{choices.get('data')}"
        return Composition(config, tuple(overrides), choices, self.dirs)

    def _composed(self, opened: list[str]) -> tuple[Any, dict[str, str]]:
        """Hydra's way in two parts: the files for the options that are chosen, then the values."""
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.types import RunMode
        from omegaconf import OmegaConf, flag_override

        parsed = OverridesParser.create().parse_overrides(opened)
        self.loader.validate_sweep_overrides_legal(parsed, RunMode.RUN, from_shell=True)
        values = [override for override in parsed if self._is_value(override)]
        key = tuple(str(override.input_line) for override in parsed if override not in values)
        if key not in self._read:
            read = self.loader.load_configuration(PRIMARY, list(key), RunMode.RUN)
            choices = {k: v for k, v in read.hydra.runtime.choices.items() if isinstance(v, str)}
            with flag_override(read, ["struct", "readonly"], False):
                del read["hydra"]
            self._read[key] = read, choices
        read, choices = self._read[key]
        composed = copy.deepcopy(read)
        OmegaConf.set_struct(composed, True)
        ConfigLoaderImpl._apply_overrides_to_config(values, composed)
        return composed, choices

    def _is_value(self, override: Any) -> bool:
        """Whether an override sets a value of the run, and chooses no option."""
        if override.is_hydra_override():
            return False
        group = self.loader.repository.group_exists(override.key_or_group)
        return not group or isinstance(override.value(), dict)


def _reject_unknown(composed: Any, overrides: Sequence[str]) -> None:
    """Refuse what ``+key=value`` added where the schema is closed."""
    known = keys()
    given = [*composed, *(f"{part}.{name}" for part in SECTIONS for name in composed[part])]
    for key in given:
        if key not in known:
            override = override_of(key, overrides)
            place = f"override {override!r}: " if override else ""
            raise InputError(f"{place}no key {key!r}{nearest(key, known)}")


def to_container(config: Config) -> dict[str, Any]:
    """Return a configuration as nested plain dicts, lists, strings and numbers."""

    def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {k: v.value if isinstance(v, enum.Enum) else v for k, v in items}

    return dataclasses.asdict(config, dict_factory=plain)
