"""Which parts of a run's config may change when it goes on."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nnxtrain.config.build import is_told
from nnxtrain.config.composition import compose
from nnxtrain.config.optim_checks import group_nodes
from nnxtrain.config.saved import load
from nnxtrain.config.schema import Config
from nnxtrain.config.schema import problems as range_problems
from nnxtrain.errors import InputError, nearest

# None of these touches a step that is done.
ALLOWED = (
    "trainer.epochs",
    "trainer.steps",
    "trainer.log_every",
    "trainer.eval_every",
    "trainer.eval_batch_size",
    "trainer.checkpoint_every",
    "trainer.keep_last",
    "trainer.keep_best",
    "trainer.patience",
    "trainer.min_delta",
    "trainer.profile",
    "trainer.on_nonfinite",
    "mesh",
    "mesh.data",
    "mesh.fsdp",
    "mesh.model",
    "mesh.rules",
)
RHYTHM = ("trainer.log_every", "trainer.eval_every", "trainer.checkpoint_every")
LENGTH = ("trainer.epochs", "trainer.steps")


def overridden(
    config_path: Path, overrides: Sequence[str], *, packages: Sequence[str] = ()
) -> Config:
    """Load a run's config with overrides applied; ``packages`` are those that its ``_target_`` may name.

    Raises:
      InputError: an override that would change the past, or that is malformed.
    """
    config = load(config_path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"{override!r} is no override; write key=value")
        if key not in ALLOWED:
            raise InputError(
                f"{key} cannot change in a resumed run, it would contradict the steps that are done{nearest(key, ALLOWED)} "
                f"(allowed: {', '.join(ALLOWED)}); start a new run for it"
            )
        if key in RHYTHM and (config.trainer.steps_per_call or 1) > 1:
            raise InputError(
                f"{key} cannot change in this run: it says which steps trainer.steps_per_call puts into one call; "
                "start a new run"
            )
        if key in LENGTH and (planned := over_the_length(config, packages)):
            raise InputError(
                f"{key} cannot change in this run: {planned} was laid out over its whole length; to train on begin a "
                f"new run: nnxtrain fit from={shlex.quote(str(config_path.parent))} {override}"
            )
        config = _with(config, key, text)
    for key, problem in range_problems(config):
        raise InputError(f"{key}: {problem}")
    return config


def check_length(total_steps: int, done: int) -> None:
    """Raise InputError for a run that would end before the steps that are done."""
    if total_steps < done:
        raise InputError(
            f"the run would end at step {total_steps}, but {done} steps are done; "
            f"give trainer.epochs or trainer.steps for {done} steps or more, or start a new run"
        )


def over_the_length(config: Config, packages: Sequence[str]) -> str | None:
    """The key of the first node that is told how long the run is, or None."""
    optim = config.optim
    nodes = [("optim.schedule", optim.schedule), ("optim.optimizer", optim.optimizer)]
    for key, node in [*nodes, *group_nodes(optim)]:
        if is_told(node, "total_steps", packages):
            return key
    return None


def _with(config: Config, key: str, text: str) -> Config:
    """Set one field of a section, or choose an option for the whole section."""
    section, _, name = key.partition(".")
    if not name:
        chosen = getattr(compose([f"{section}={text}"]), section)
        return dataclasses.replace(config, **{section: chosen})
    try:
        changed = OmegaConf.from_dotlist([f"{name}={text}"])
        merged: Any = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(getattr(config, section)), changed)
        )
    except Exception as error:
        raise InputError(f"{key}: {str(error).splitlines()[0]}") from error
    return dataclasses.replace(config, **{section: merged})
