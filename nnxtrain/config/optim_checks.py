"""What the optim section must agree on: its groups, its clipping, and the arguments its optimizers take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nnxtrain.config.build import is_told
from nnxtrain.config.patterns import compile_pattern
from nnxtrain.config.schema import GroupConfig, OptimConfig
from nnxtrain.config.signature import parameters
from nnxtrain.config.target import locate
from nnxtrain.errors import InputError


def decay_argument(optimizer: Mapping[str, Any], packages: Sequence[str] = ()) -> str | None:
    """Return what an optimizer's node calls its weight decay, or None if it has none.

    >>> decay_argument({"_target_": "optax.adamw"}), decay_argument({"_target_": "optax.adam"})
    ('weight_decay', None)
    """
    known = parameters(locate(optimizer["_target_"], packages))
    return next((name for name in ("weight_decay", "weight_decay_rate") if name in known), None)


def group_nodes(optim: OptimConfig) -> Iterator[tuple[str, Any]]:
    """Yield the key and the value of each node that a group brings along."""
    for number, group in enumerate(optim.groups):
        for name in ("schedule", "optimizer"):
            if (node := getattr(group, name)) is not None:
                yield f"optim.groups[{number}].{name}", node


def optim_problems(optim: OptimConfig, packages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield ``(key, what is wrong)``; the nodes have been looked at."""
    clips = ("clip_norm", "clip_value", "clip_adaptive")
    if len(chosen := [name for name in clips if getattr(optim, name) is not None]) > 1:
        yield f"optim.{chosen[1]}", f"{chosen[0]} is set too; choose one and set the other to null"
    if not optim.decay_bias_and_scale and not decay_argument(optim.optimizer, packages):
        yield "optim.decay_bias_and_scale", _no_decay(optim.optimizer)
    for number, group in enumerate(optim.groups):
        for name, problem in _group(group, optim, packages):
            yield f"optim.groups[{number}].{name}", problem


def _group(
    group: GroupConfig, optim: OptimConfig, packages: Sequence[str]
) -> Iterator[tuple[str, str]]:
    try:
        compile_pattern(group.match)
    except InputError as error:
        yield "match", str(error)
    settings = ("learning_rate", "scale", "weight_decay", "schedule", "optimizer")
    given = [name for name in settings if getattr(group, name) is not None]
    if group.frozen and given:
        yield given[0], "the group is frozen, so this has no effect; leave it out"
        return
    for other in ("learning_rate", "schedule"):
        if group.scale is not None and other in given:
            yield "scale", f"{other} is set too; choose one of them"
    optimizer = group.optimizer or optim.optimizer
    if group.weight_decay is not None and not decay_argument(optimizer, packages):
        yield "weight_decay", _no_decay(optimizer)
    rate = next((name for name in ("learning_rate", "scale", "schedule") if name in given), None)
    if rate and not is_told(optimizer, "learning_rate", packages):
        yield rate, f"{optimizer['_target_']} takes no learning_rate"
    schedule = group.schedule or optim.schedule
    if (
        group.learning_rate is not None
        and schedule
        and not is_told(schedule, "learning_rate", packages)
    ):
        yield (
            "learning_rate",
            f"{schedule['_target_']} takes no learning_rate, so it has no effect; give scale, or a schedule of its own",
        )


def _no_decay(optimizer: Mapping[str, Any]) -> str:
    return f"{optimizer['_target_']} has no weight_decay; choose one that has, such as optim=adamw"
