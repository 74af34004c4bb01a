"""What a sweep is asked to be: how its trials are chosen, where they run; from ``sweep.KEY=VALUE`` and a YAML file."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from nnxtrain.config.compare import shown
from nnxtrain.config.schema import outside, within
from nnxtrain.errors import InputError, nearest


class SamplerName(enum.StrEnum):
    """How values are chosen."""

    grid = "grid"  # every combination
    random = "random"  # combinations drawn at random
    tpe = "tpe"  # by Optuna, which learns from the trials that have ended


class PrunerName(enum.StrEnum):
    """How poor trials are found, at their evaluations."""

    none = "none"
    median = "median"  # worse than the median of the others at the same step
    hyperband = "hyperband"  # by brackets with ever more steps


class LauncherName(enum.StrEnum):
    """Where trials run."""

    local = "local"
    slurm = "slurm"
    ray = "ray"


@dataclass
class LocalConfig:
    """On this machine. Its GPUs, or else its cores, are shared out to the trials that run at once."""

    cores: int | None = within(None, at_least=1)  # for each trial; null: an equal share
    gpus: int | None = within(None, at_least=1)  # for each trial; null: an equal share


@dataclass
class SlurmConfig:
    """What to ask of Slurm for each trial; null: what the cluster gives by itself."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    minutes: int = within(60, at_least=1)  # then the trial saves, and its job is queued again
    grace: int = within(90, at_least=1)  # seconds that it gets for that
    nodes: int = within(1, at_least=1)
    tasks: int = within(1, at_least=1)  # on each node; together they train one run
    cpus: int | None = within(None, at_least=1)  # for each task
    gpus: int | None = within(None, at_least=1)  # on each node
    memory: float | None = within(None, above=0)  # GiB, on each node
    setup: list[str] = field(default_factory=list)  # lines of the job script before the trial
    extra: dict[str, str] = field(default_factory=dict)  # any other option of sbatch, by its name


@dataclass
class RayConfig:
    """What to ask of Ray for each trial."""

    # Of a running cluster: auto, HOST:PORT or ray://HOST:PORT; null: a Ray of the sweep's own on this machine.
    address: str | None = None
    cores: int = within(1, at_least=1)
    # Parts of one are shared; null: one where the cluster has any.
    gpus: float | None = within(None, at_least=0)


@dataclass
class OptunaConfig:
    """How soon Optuna judges."""

    # Trials before values are learned from (null: 10), and before the median prunes (null: 5).
    startup_trials: int | None = within(None, at_least=0)
    warmup_evaluations: int = within(0, at_least=0)  # of a trial, before it may be pruned


@dataclass
class SweepConfig:
    """The keys of ``sweep.KEY=VALUE``, and of the file beside ``overrides``."""

    name: str | None = None  # of its directory; null: the time and a random ending
    sampler: SamplerName = SamplerName.grid
    trials: int | None = within(None, at_least=1)  # how many; a grid has all
    seed: int = within(0, at_least=0)  # of the sampler
    pruner: PrunerName = PrunerName.none
    launcher: LauncherName = LauncherName.local
    parallel: int | None = within(
        None, at_least=1
    )  # trials at once; null: as many as there is room for
    local: LocalConfig = field(default_factory=LocalConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    optuna: OptunaConfig = field(default_factory=OptunaConfig)

    @property
    def needs_study(self) -> bool:
        """Whether Optuna keeps what the trials find."""
        return self.sampler is SamplerName.tpe or self.pruner is not PrunerName.none

    def to_json(self) -> dict[str, Any]:
        """Return it as nested dicts."""
        return asdict(self)


def read_spec(given: Sequence[str], file: Path | None = None) -> tuple[SweepConfig, list[str]]:
    """Split ``sweep.KEY=VALUE`` off overrides and add what a file says: the sweep, and the overrides that are its trials'.

    The file holds the keys of :class:`SweepConfig` and ``overrides``: a mapping from keys to values, in which a text is
    in the grammar of the command line, or a list of overrides. What is given wins over the file.

    Raises:
      InputError: an unknown key, a value of another type or out of range, a file that cannot be read.

    >>> spec, overrides = read_spec(["sweep.sampler=random", "sweep.trials=3", "seed=1,2"])
    >>> spec.sampler.value, spec.trials, overrides
    ('random', 3, ['seed=1,2'])
    """
    own = [text for text in given if text.startswith("sweep.")]
    rest = [text for text in given if not text.startswith("sweep.")]
    values, overrides = _read_file(file) if file else ({}, [])
    taken = {text.partition("=")[0] for text in rest}
    overrides = [text for text in overrides if text.partition("=")[0] not in taken]
    spec = _merged({}, values, f"{file}: ")
    for text in own:
        key, _, value = text.removeprefix("sweep.").partition("=")
        place = f"override {text!r}: "
        spec = _merged(spec, _nested(key, _parsed(text, value)), place)
    from omegaconf import OmegaConf

    made: Any = OmegaConf.to_object(_typed(spec))
    for where, problem in outside(made, "sweep."):
        raise InputError(f"{where}: {problem}")
    return made, [*overrides, *rest]


def from_json(content: Mapping[str, Any]) -> SweepConfig:
    """Return the spec that ``to_json`` wrote. Keys that are no longer there are left out."""
    from omegaconf import OmegaConf

    def known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        inner = {f.name: f.default_factory for f in fields(kind)}
        return {
            key: known(inner[key], value) if is_dataclass(inner[key]) else value
            for key, value in values.items()
            if key in inner
        }

    made: Any = OmegaConf.to_object(_typed(known(SweepConfig, content)))
    return made


def _typed(values: Mapping[str, Any]) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.merge(OmegaConf.structured(SweepConfig), values)


def _merged(before: Mapping[str, Any], more: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return both, the latter winning, having looked that they are what the schema has."""
    from omegaconf import OmegaConf, errors

    _reject_unknown(SweepConfig, more, "sweep", place)
    merged: Any = OmegaConf.to_container(OmegaConf.merge(dict(before), dict(more)))
    try:
        _typed(merged)
    except errors.ValidationError as error:
        reason = str(error.msg).splitlines()[0]
        key, value = f"sweep.{error.full_key}", getattr(error, "value", None)
        listed = reason[reason.index("[") + 1 : -1] if "expected one of [" in reason else ""
        hint = nearest(str(value), listed.split(", ")) if listed else ""
        wanted = f"expected one of {listed}, got {value!r}" if listed else reason
        raise InputError(f"{place}{key}: {wanted}{hint}") from error
    return merged


def _reject_unknown(kind: Any, values: Mapping[str, Any], key: str, place: str) -> None:
    known = {f.name: f for f in fields(kind)}
    for name, value in values.items():
        if name not in known:
            hint = nearest(str(name), known) or f" (known: {', '.join(known)})"
            raise InputError(f"{place}{key} has no key {name!r}{hint}")
        inner = known[name].default_factory
        if is_dataclass(inner):
            if not isinstance(value, Mapping):
                raise InputError(f"{place}{key}.{name}: expected a group of keys, got {value!r}")
            _reject_unknown(inner, value, f"{key}.{name}", place)


def _parsed(text: str, value: str) -> Any:
    """The value of an override, as its grammar has it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except OverrideParseException as error:
        raise InputError(f"override {text!r} is not of the form sweep.KEY=VALUE") from error
    if override.is_sweep_override():
        raise InputError(f"override {text!r}: a sweep has one value of this, got {value!r}")
    return override.value()


def _nested(key: str, value: Any) -> dict[str, Any]:
    head, _, tail = key.partition(".")
    return {head: _nested(tail, value) if tail else value}


def _read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    import yaml
    from omegaconf._utils import get_yaml_loader  # reads 1e-3 as a number

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), get_yaml_loader())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, as sampler: grid")
    overrides = content.pop("overrides", [])
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={_text(value)}" for key, value in overrides.items()]
    if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
        raise InputError(f"{path}: overrides: expected KEY: VALUE lines, or a list of KEY=VALUE")
    return content, overrides


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
