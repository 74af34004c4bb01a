"""Composing, checking, saving and resolving configurations.

Light to import: Hydra, OmegaConf and JAX are loaded by the functions that need them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnxtrain.config.build import resolve as resolve
    from nnxtrain.config.checks import check as check
    from nnxtrain.config.composition import compose as compose
    from nnxtrain.config.composition import compose_with_origins as compose_with_origins
    from nnxtrain.config.composition import to_container as to_container
    from nnxtrain.config.saved import CONFIG_FILE as CONFIG_FILE
    from nnxtrain.config.saved import load as load
    from nnxtrain.config.saved import save as save
    from nnxtrain.config.saved import to_yaml as to_yaml
    from nnxtrain.config.schema import Config as Config
    from nnxtrain.config.schema import OptimConfig as OptimConfig
    from nnxtrain.config.schema import TrainerConfig as TrainerConfig
    from nnxtrain.config.sweep import check_trials as check_trials
    from nnxtrain.config.sweep import expand as expand
    from nnxtrain.config.tree import groups as groups
    from nnxtrain.config.tree import list_options as list_options

_HOME = {
    "CONFIG_FILE": "saved",
    "Config": "schema",
    "OptimConfig": "schema",
    "TrainerConfig": "schema",
    "check": "checks",
    "check_trials": "sweep",
    "compose": "composition",
    "compose_with_origins": "composition",
    "expand": "sweep",
    "groups": "tree",
    "list_options": "tree",
    "load": "saved",
    "resolve": "build",
    "save": "saved",
    "to_container": "composition",
    "to_yaml": "saved",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
