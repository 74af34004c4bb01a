"""The values that a sweep chooses from, in Hydra's grammar: ``a,b``, ``choice()``, ``range()``, ``interval()``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnxtrain.config.overrides import as_typed, open_nodes
from nnxtrain.config.translate import readable_errors
from nnxtrain.config.tree import config_loader, search_dirs
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Choices:
    """A key and the texts of its values, in the order they were given.

    Of ``range(low, high, step)``, ``step`` is set, and ``values`` ascend by it.
    """

    key: str
    values: tuple[str, ...]
    step: float | None = None

    @property
    def size(self) -> int | None:
        """How many values there are."""
        return len(self.values)


@dataclass(frozen=True)
class Interval:
    """A key and the numbers from ``low`` to ``high``, both included; ``log``: evenly spread in their logarithm."""

    key: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    @property
    def size(self) -> int | None:
        """How many values there are; None: endlessly many."""
        return round(self.high - self.low) + 1 if self.integer else None

    def text(self, value: float) -> str:
        """Return a value as an override has it, of six digits where that lies in the interval."""
        if self.integer:
            return str(round(value))
        short = f"{value:.6g}"
        return short if self.low <= float(short) <= self.high else repr(float(value))

    def at(self, share: float) -> float:
        """Return the value at a share of the way, 0 to 1, each of an integer's values having as much of it.

        >>> interval = Interval("x", 1e-4, 1e-2, log=True)
        >>> interval.text(interval.at(0.5))
        '0.001'
        """
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return min(max(round(value) if self.integer else value, self.low), self.high)


Dimension = Choices | Interval


@dataclass(frozen=True)
class Space:
    """All overrides of a sweep in the order they were given: those with one value, and those with several.

    >>> space = parse_space(["seed=1,2", "optim=adam", "optim.learning_rate=1e-3,1e-2"])
    >>> space.size, list(space.combinations())[1]
    (4, ['seed=1', 'optim=adam', 'optim.learning_rate=0.01'])
    """

    parts: tuple[str | Dimension, ...]

    @property
    def dimensions(self) -> list[Dimension]:
        """What has several values."""
        return [part for part in self.parts if not isinstance(part, str)]

    @property
    def size(self) -> int | None:
        """How many combinations there are; None where an interval has endlessly many."""
        sizes = [part.size for part in self.dimensions]
        return None if None in sizes else math.prod(size for size in sizes if size)

    def overrides(self, chosen: Sequence[str]) -> list[str]:
        """Return the overrides of one trial; ``chosen`` has the text of a value for each dimension."""
        values = iter(chosen)
        return [
            part if isinstance(part, str) else f"{part.key}={next(values)}" for part in self.parts
        ]

    def combinations(self) -> Iterator[list[str]]:
        """Yield the overrides of every combination, the first dimension varying slowest.

        Raises InputError where there is an interval.
        """
        for part in self.dimensions:
            if isinstance(part, Interval):
                raise InputError(
                    f"{part.key}: a grid has no end over an interval; give values (a,b or range), or "
                    "sweep.sampler=random sweep.trials=N"
                )
        lists = [part.values for part in self.dimensions if isinstance(part, Choices)]
        for chosen in itertools.product(*lists):
            yield self.overrides(chosen)

    def corners(self) -> Iterator[list[str]]:
        """Yield overrides in which every value, or end of an interval, occurs, the other dimensions having their first."""
        ends = [
            part.values
            if isinstance(part, Choices)
            else (part.text(part.low), part.text(part.high))
            for part in self.dimensions
        ]
        first = [values[0] for values in ends]
        yield self.overrides(first)
        for number, values in enumerate(ends):
            for value in values[1:]:
                yield self.overrides([*first[:number], value, *first[number + 1 :]])


def parse_space(overrides: Sequence[str], config_dirs: Sequence[str | Path] = ()) -> Space:
    """Return what overrides in Hydra's grammar choose from.

    ``tag(log, interval(1e-4, 1e-1))`` is spread evenly in the logarithm, ``int(interval(1, 8))`` has whole numbers.

    Raises:
      InputError: bad syntax, a sweep without values, an interval that is empty or reaches below what a logarithm has.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = config_loader(config_dirs)
    with readable_errors(overrides, loader, search_dirs(config_dirs)):
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(open_nodes(overrides))
    hydra = [as_typed(str(item.input_line)) for item in parsed if item.is_hydra_override()]
    if hydra:
        raise InputError(
            f"override {hydra[0]!r}: a sweep is launched by sweep.launcher=local, slurm or ray; Hydra's launchers belong to "
            "`nnxtrain fit -m`"
        )
    return Space(tuple(_part(text, item) for text, item in zip(overrides, parsed)))


def _part(text: str, override: Any) -> str | Dimension:
    if not override.is_sweep_override():
        return text
    key, place = text.partition("=")[0], f"override {text!r}: "
    value = override.value()
    if not override.is_discrete_sweep():
        integer = isinstance(value.start, int) and isinstance(value.end, int)
        interval = Interval(key, value.start, value.end, "log" in value.tags, integer)
        if not (math.isfinite(value.start) and math.isfinite(value.end)):
            raise InputError(f"{place}both ends must be finite numbers")
        if interval.low > interval.high:
            raise InputError(f"{place}the interval is empty; give the lower end first")
        if interval.log and interval.low <= 0:
            raise InputError(f"{place}a logarithm needs ends above 0")
        return interval
    values = tuple(override.sweep_string_iterator())
    if not values:
        raise InputError(f"{place}the sweep has no values")
    if len(set(values)) < len(values):
        twice = next(item for item in values if values.count(item) > 1)
        raise InputError(f"{place}{twice} is given twice")
    step = getattr(value, "step", None)
    ascending = step is not None and step > 0 and not value.shuffle and len(values) > 1
    return Choices(key, values, step if ascending else None)
