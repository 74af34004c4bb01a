"""Samplers that know all trials before the first one starts."""

from __future__ import annotations

import numpy as np

from nnxtrain.errors import InputError
from nnxtrain.sweep.space import Choices, Space
from nnxtrain.sweep.spec import SamplerName, SweepConfig

AGAIN = (
    100_000  # draws in a row of what was drawn already, after which there is taken to be no more
)


def plan(space: Space, spec: SweepConfig) -> list[list[str]]:
    """Return the overrides of every trial of a grid or of random search.

    Raises:
      InputError: a number of trials that the space has not, or that is missing.
    """
    return grid(space, spec) if spec.sampler is SamplerName.grid else random(space, spec)


def grid(space: Space, spec: SweepConfig) -> list[list[str]]:
    """Return every combination, the first key varying slowest."""
    if spec.trials is not None:
        raise InputError(
            f"sweep.trials={spec.trials}: a grid has every combination; for some of them add sweep.sampler=random"
        )
    return list(space.combinations())


def random(space: Space, spec: SweepConfig) -> list[list[str]]:
    """Return ``spec.trials`` combinations, drawn evenly by ``spec.seed``, none of them twice.

    Trial ``n`` is the same for every number of trials. Bergstra and Bengio 2012,
    https://jmlr.org/papers/v13/bergstra12a.html.
    """
    if spec.trials is None:
        raise InputError("sweep.sampler=random needs a number of trials: sweep.trials=N")
    if space.size is not None and spec.trials > space.size:
        raise InputError(
            f"sweep.trials={spec.trials}: there are {space.size} combinations; give no more, or sweep.sampler=grid"
        )
    generator = np.random.default_rng(spec.seed)
    drawn: dict[tuple[str, ...], None] = {}
    again = 0
    while len(drawn) < spec.trials:
        shares = generator.random(len(space.dimensions))
        chosen = tuple(
            part.values[int(share * len(part.values))]
            if isinstance(part, Choices)
            else part.text(part.at(share))
            for part, share in zip(space.dimensions, shares)
        )
        again = again + 1 if chosen in drawn else 0
        if again == AGAIN:
            raise InputError(
                f"sweep.trials={spec.trials}: no more than {len(drawn)} combinations were found, by six digits of a number; "
                "give fewer trials, or a wider interval"
            )
        drawn.setdefault(chosen)
    return [space.overrides(chosen) for chosen in drawn]
