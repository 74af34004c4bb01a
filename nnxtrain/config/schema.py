"""What a configuration may contain: every key, its type, its default and its range.

The dataclasses are OmegaConf structured configs, so Hydra checks types while composing; ``compose``
returns them filled with plain Python values. ``model``, ``data``, ``augment``, ``task`` and the nodes
inside ``optim`` hold a ``_target_`` and are open: their keys are the arguments of that target.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

VERSION = 1
MISSING: Any = "???"  # OmegaConf's; not imported, so that what only asks for names starts at once
Node = dict[str, Any]


class Mode(enum.StrEnum):
    """Whether a larger or a smaller value of the monitored metric is better."""

    max = "max"
    min = "min"


class Precision(enum.StrEnum):
    """The dtype that models compute in; parameters are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Placement(enum.StrEnum):
    """Where the examples live while training."""

    auto = "auto"
    host = "host"
    device = "device"


class OnNonfinite(enum.StrEnum):
    """What happens at a loss or gradient that is NaN or infinite."""

    stop = "stop"
    skip = "skip"


def within(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """Return a field with a default and limits."""
    return field(default=default, metadata={"at_least": at_least, "above": above, "below": below})


@dataclass
class GroupConfig:
    """How the parameters whose path matches are trained; what is null is as for the others."""

    match: str = MISSING  # a pattern over dotted paths, see config/patterns.py
    frozen: bool = False
    learning_rate: float | None = within(None, above=0)
    scale: float | None = within(None, above=0)  # times the learning rate of the others
    weight_decay: float | None = within(None, at_least=0)
    schedule: Any = None
    optimizer: Any = None


@dataclass
class OptimConfig:
    """The optimizer node takes every argument but the learning rate, which the schedule gives."""

    optimizer: Node = MISSING
    learning_rate: float = within(MISSING, above=0)
    # A node built with learning_rate and total_steps; null: constant. It is Any because OmegaConf
    # cannot override a typed dict that is null.
    schedule: Any = None
    clip_norm: float | None = within(None, above=0)  # of the global gradient; null: no clipping
    clip_value: float | None = within(None, above=0)  # of each element
    clip_adaptive: float | None = within(None, above=0)  # as a share of the parameters' norm
    decay_bias_and_scale: bool = True  # whether weight decay is for biases and norms too
    groups: list[GroupConfig] = field(default_factory=list)  # the first that matches counts


@dataclass
class TrainerConfig:
    """The length of training and its rhythm. Exactly one of ``epochs`` and ``steps`` is set."""

    batch_size: int = within(128, at_least=1)  # examples in one optimizer step, over all devices
    epochs: float | None = within(None, above=0)
    steps: int | None = within(None, at_least=1)
    eval_batch_size: int = within(512, at_least=1)
    log_every: int = within(50, at_least=1)  # steps
    eval_every: int | None = within(None, at_least=1)  # steps; null: once an epoch
    checkpoint_every: int | None = within(None, at_least=1)  # steps; null: at each evaluation
    keep_last: int = within(2, at_least=1)  # checkpoints
    keep_best: int = within(1, at_least=1)
    # The validation metric that decides which checkpoint is best; null: the task's.
    monitor: str | None = None
    mode: Mode | None = None  # null: min for loss and other errors, else max
    patience: int | None = within(
        None, at_least=1
    )  # evaluations without a better score; null: no early stop
    min_delta: float = within(0.0, at_least=0)  # by which a score must be better, for patience
    precision: Precision = Precision.float32  # of the computation; parameters stay float32
    accumulate: int = within(1, at_least=1)  # parts that a batch is worked on in, to save memory
    ema: float | None = within(None, above=0, below=1)  # decay of averaged parameters; null: none
    on_nonfinite: OnNonfinite = OnNonfinite.stop
    placement: Placement = Placement.auto  # of the examples: device for small sets, else host
    # Steps in one compiled call; null: several, where steps are many and small.
    steps_per_call: int | None = within(None, at_least=1)
    profile: list[int] | None = None  # [first, last] step to trace with jax.profiler


@dataclass
class RuleConfig:
    """How the parameters whose path matches are cut over the mesh: by ``spec`` or by ``largest``."""

    match: str = MISSING  # a pattern over dotted paths, see config/patterns.py
    spec: Any = None  # for each dimension the axis that cuts it, a list of such, or null
    largest: Any = None  # the axis, or a list of such, that cuts the largest dimension it divides
    optional: bool = False  # whether it may match nothing


@dataclass
class MeshConfig:
    """The devices as a grid: the product of the axes is how many are used, of all processes together."""

    # Parts that a batch is cut into. -1, on one axis: all devices that are left. null: -1, but 1 on a CPU, whose simulated
    # devices share its cores.
    data: int | None = None
    fsdp: int = 1  # parts that parameters are cut into by the rules of mesh=fsdp, and batches too
    model: int = 1  # parts that layers are cut into by the rules of mesh=tensor
    rules: list[RuleConfig] = field(default_factory=list)  # the first that matches counts


@dataclass
class InitConfig:
    """What parameters a new run begins with; by default those that the model's initialisers make."""

    run: str | None = None  # another run's directory; `fit from=DIR` sets it
    checkpoint: str = "best"  # of that run: best, last or a step
    file: str | None = None  # a safetensors file, instead of a run
    map: list[str] = field(
        default_factory=list
    )  # OLD:NEW, prefixes in the weights and in the model
    skip: list[str] = field(default_factory=list)  # patterns of the model's paths that stay fresh


@dataclass
class Config:
    """One training run."""

    version: int = VERSION
    seed: int = within(0, at_least=0)
    name: str | None = None  # of the recipe, or the user's label; part of the run directory's name
    runs_dir: str = "runs"
    model: Node = MISSING
    data: Node = MISSING
    augment: Node = field(default_factory=lambda: {"_target_": "nnxtrain.augment.Identity"})
    optim: OptimConfig = field(default_factory=OptimConfig)
    task: Node = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    init: InitConfig = field(default_factory=InitConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    logger: Node = field(default_factory=dict)  # nodes by name


SECTIONS = {
    "optim": OptimConfig,
    "trainer": TrainerConfig,
    "init": InitConfig,
    "mesh": MeshConfig,
}
NODES = ("model", "data", "augment", "task", "optim.optimizer", "optim.schedule", "logger")


def keys() -> list[str]:
    """Return the dotted keys that the schema knows; a node's arguments are its target's."""
    top = [item.name for item in fields(Config)]
    return top + [f"{name}.{item.name}" for name, of in SECTIONS.items() for item in fields(of)]


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Yield ``(key, what is wrong)`` for values outside their range or in conflict."""
    yield from outside(config, "")
    if config.name is not None and not re.fullmatch(r"\w[\w.+=-]*", config.name):
        yield (
            "name",
            f"use letters, digits and any of _ . + = - (a folder is named so), got {config.name!r}",
        )
    if not config.runs_dir:
        yield "runs_dir", "is empty"
    trainer = config.trainer
    if trainer.epochs is not None and trainer.steps is not None:
        yield (
            "trainer.steps",
            f"steps={trainer.steps} and epochs={trainer.epochs:g} are both set; to train by steps "
            "add trainer.epochs=null",
        )
    if trainer.epochs is None and trainer.steps is None:
        yield "trainer.epochs", "neither epochs nor steps is set; give one, e.g. trainer.epochs=10"
    if trainer.batch_size % max(trainer.accumulate, 1):
        yield (
            "trainer.accumulate",
            f"must divide trainer.batch_size={trainer.batch_size}, got {trainer.accumulate}",
        )
    if config.init.run is not None and config.init.file is not None:
        yield "init.file", "init.run is set too; begin from one of them"
    for pair in config.init.map:
        if pair.count(":") != 1:
            yield "init.map", f"expected OLD:NEW, e.g. [encoder:backbone.encoder], got {pair!r}"
    if trainer.min_delta and trainer.patience is None:
        yield "trainer.min_delta", "has no effect without trainer.patience=N; give both"
    for axis in ("data", "fsdp", "model"):
        size = getattr(config.mesh, axis)
        if size is not None and size < 1 and size != -1:
            yield f"mesh.{axis}", f"a number of devices, or -1 for those that are left; got {size}"
    window = trainer.profile
    if window is not None and (len(window) != 2 or not 1 <= window[0] <= window[1]):
        yield "trainer.profile", f"expected [first, last] step, e.g. [10,20], got {window}"


def outside(section: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield ``(key, what is wrong)`` for the values of a dataclass that are out of the range of their field."""
    for item in fields(section):
        key, value = prefix + item.name, getattr(section, item.name)
        if is_dataclass(value):
            yield from outside(value, key + ".")
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            if is_dataclass(entry):
                yield from outside(entry, f"{key}[{number}].")
        if isinstance(value, float) and not math.isfinite(value):
            yield key, f"must be a finite number, got {value}"
            continue
        at_least, above, below = map(item.metadata.get, ("at_least", "above", "below"))
        if value is None:
            continue
        if at_least is not None and value < at_least:
            yield key, f"must be at least {at_least}, got {value}"
        if above is not None and value <= above:
            yield key, f"must be greater than {above}, got {value}"
        if below is not None and value >= below:
            yield key, f"must be less than {below}, got {value}"
