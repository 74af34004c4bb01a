"""Build the optimizer of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax

from nnxtrain import nnx
from nnxtrain.config.build import resolve
from nnxtrain.config.optim_checks import decay_argument
from nnxtrain.config.schema import GroupConfig, OptimConfig
from nnxtrain.optim.clipping import clipping
from nnxtrain.optim.groups import Trained, assign, parameter_paths

UNDECAYED = ("bias", "scale")  # what layers call their offsets and the factors of norms
OTHERS = GroupConfig(match="**")  # what is in no group


@dataclass(frozen=True)
class Optimization:
    """How a model is trained.

    Attributes:
      tx: clipping, then the optimizer, or those of the groups. Static in compiled functions, where another one that was
        made the same way compares unequal: make it once for a run.
      rates: the learning rates by step, counted in updates from 0: ``learning_rate``, and ``learning_rate/PATTERN`` for
        each group with one of its own.
      wrt: the filter of the Variables that train.
    """

    tx: optax.GradientTransformation
    rates: dict[str, optax.Schedule]
    wrt: Any

    @property
    def schedule(self) -> optax.Schedule:
        """The learning rate of what is in no group."""
        return self.rates["learning_rate"]


def build_optimizer(
    config: OptimConfig,
    model: nnx.Module,
    total_steps: int,
    *,
    steps_per_epoch: int | None = None,
    packages: Sequence[str] = (),
) -> Optimization:
    """Return how to train a model.

    Args:
      config: the ``optim`` section, checked.
      model: what is to be trained; its paths are looked at, so it may be abstract.
      total_steps: the run's length in updates, for the schedules.
      steps_per_epoch: updates in an epoch, for schedules that count epochs.
      packages: packages of the user that ``_target_`` may name.

    Raises:
      InputError: a group that matches nothing, or a node that cannot be built.

    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> groups = [GroupConfig("bias", learning_rate=0.5)]
    >>> made = build_optimizer(OptimConfig({"_target_": "optax.sgd"}, 0.1, groups=groups), model, 100)
    >>> optimizer = nnx.Optimizer(model, made.tx, wrt=made.wrt)
    >>> sorted(made.rates)
    ['learning_rate', 'learning_rate/bias']
    """
    run = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    labels: dict[str, str] = {}  # path -> a key of parts
    parts: dict[str, optax.GradientTransformation] = {}
    frozen = set()
    # Arrays that a node makes for itself must be none of the trace under way: they are used in others.
    with jax.ensure_compile_time_eval():
        for path, number in assign(config.groups, parameter_paths(model)).items():
            group = OTHERS if number is None else config.groups[number]
            if group.frozen:
                frozen.add(path)
                continue
            spared = (
                not config.decay_bias_and_scale
                and group.weight_decay is None
                and path.rpartition(".")[2] in UNDECAYED
            )
            label = ("others" if number is None else f"group{number}") + "_undecayed" * spared
            labels[path] = label
            if label not in parts:
                optimizer = group.optimizer or config.optimizer
                node = _with_decay(optimizer, 0.0 if spared else group.weight_decay, packages)
                rate = _rate(config, group, run, packages)
                parts[label] = resolve(node, packages=packages, learning_rate=rate, **run)
    tx = parts.popitem()[1] if len(parts) == 1 else _by_path(parts, labels)
    if (clip := clipping(config)) is not None:
        tx = optax.chain(clip, tx)  # of all groups together
    rates = build_rates(config, total_steps, steps_per_epoch=steps_per_epoch, packages=packages)
    return Optimization(tx, rates, Trained(frozenset(frozen)) if frozen else nnx.Param)


def build_rates(
    config: OptimConfig,
    total_steps: int,
    *,
    steps_per_epoch: int | None = None,
    packages: Sequence[str] = (),
) -> dict[str, optax.Schedule]:
    """Return the ``rates`` of an :class:`Optimization`, which depend on no model; arguments as there."""
    run = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    named = {"learning_rate": OTHERS} | {
        f"learning_rate/{group.match}": group
        for group in config.groups
        if not (group.learning_rate is None and group.scale is None and group.schedule is None)
    }
    rates = {name: _rate(config, group, run, packages) for name, group in named.items()}
    return {
        name: rate if callable(rate) else optax.constant_schedule(rate)
        for name, rate in rates.items()
    }


def _rate(
    config: OptimConfig, group: GroupConfig, run: dict[str, Any], packages: Sequence[str]
) -> float | optax.Schedule:
    """A group's learning rate: a number where no schedule changes it, so that optax keeps no count for it."""
    rate = group.learning_rate or config.learning_rate
    scale = 1.0 if group.scale is None else group.scale
    node = group.schedule or config.schedule
    if node is None:
        return scale * rate
    schedule: optax.Schedule = resolve(node, packages=packages, learning_rate=rate, **run)
    return schedule if scale == 1.0 else lambda step: scale * schedule(step)


def _with_decay(
    node: dict[str, Any], decay: float | None, packages: Sequence[str]
) -> dict[str, Any]:
    argument = decay_argument(node, packages)
    return node if decay is None or argument is None else {**node, argument: decay}


def _by_path(
    parts: dict[str, optax.GradientTransformation], labels: dict[str, str]
) -> optax.GradientTransformation:
    """Each parameter to the transformation that its path is labelled with."""

    def label(path: tuple[Any, ...], leaf: Any) -> str:
        return labels[jax.tree_util.keystr(path, simple=True, separator=".")]

    return optax.partition(parts, lambda params: jax.tree_util.tree_map_with_path(label, params))
