"""The trials of ``fit -m key=a,b``: expanded with Hydra's own grammar, composed and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnxtrain.config.checks import check
from nnxtrain.config.composition import Composer, Composition
from nnxtrain.config.overrides import as_typed, open_nodes
from nnxtrain.config.translate import readable_errors
from nnxtrain.config.tree import PRIMARY, config_loader, search_dirs
from nnxtrain.errors import InputError


def expand(
    overrides: Sequence[str], config_dirs: Sequence[str | Path] = (), loader: Any = None
) -> list[list[str]]:
    """Return the overrides of each trial: the product of all sweeps, the first varying slowest.

    ``hydra/…`` and ``hydra.…`` overrides speak of the launcher and are no part of a trial. Sweeps
    that a recipe declares under ``hydra.sweeper.params`` come first.

    Raises:
        InputError: bad syntax, a sweep without values, or one that only an optimizer can run.

    >>> expand(["seed=1,2", "optim=adam"])
    [['seed=1', 'optim=adam'], ['seed=2', 'optim=adam']]
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode

    loader = loader or config_loader(config_dirs)
    dirs = search_dirs(config_dirs)
    with readable_errors(overrides, loader, dirs):
        parser = OverridesParser.create(config_loader=loader)
        opened = open_nodes(overrides)
        master = loader.load_configuration(PRIMARY, opened, RunMode.MULTIRUN)
        declared = [f"{key}={value}" for key, value in _declared(master).items()]
        parsed = parser.parse_overrides([*open_nodes(declared), *opened])
        task = [override for override in parsed if not override.is_hydra_override()]
        for override in task:
            _reject_empty(override)
        batches = BasicSweeper.split_arguments(task, None)
    # Hydra sees "++model.x=1" where the user wrote "model.x=1": give the user's form back.
    return [[as_typed(text) for text in trial] for trial in batches[0]]


def check_trials(
    trials: Sequence[Sequence[str]],
    config_dirs: Sequence[str | Path] = (),
    packages: Sequence[str] = (),
) -> list[Composition]:
    """Compose and check every trial before the first one starts, and return what was composed.

    Raises:
        InputError: the first trial that cannot run, with its overrides.
    """
    composer = Composer(config_dirs)
    compositions = []
    for number, trial in enumerate(trials):
        try:
            composition = composer.compose(trial)
            check(composition.config, packages=packages, where=composition.where)
            compositions.append(composition)
        except InputError as error:
            label = f"trial {number} ({' '.join(trial)})"
            raise InputError(f"{label}: {error}" if len(trials) > 1 else str(error)) from error
    return compositions


def _declared(master: Any) -> dict[str, Any]:
    params = master.hydra.sweeper.get("params")
    return dict(params) if params else {}


def _reject_empty(override: Any) -> None:
    if not override.is_sweep_override():
        return
    text = as_typed(override.input_line)
    if not override.is_discrete_sweep():
        raise InputError(
            f"override {text!r}: an interval is not a list of values; use a,b or range"
        )
    if next(iter(override.sweep_string_iterator()), None) is None:
        raise InputError(f"override {text!r}: the sweep has no values")
