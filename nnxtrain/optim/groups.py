"""Which parameter belongs to which group, and which Variables train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnxtrain import nnx
from nnxtrain.config.patterns import matching
from nnxtrain.config.schema import GroupConfig
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Trained:
    """The filter of the parameters that are not frozen; two with the same paths are equal, as static values must be."""

    frozen: frozenset[str]

    def __call__(self, path: tuple[Any, ...], value: Any) -> bool:
        return isinstance(value, nnx.Param) and dotted(path) not in self.frozen


def dotted(path: tuple[Any, ...]) -> str:
    """``("layers", 0, "kernel")`` as ``"layers.0.kernel"``."""
    return ".".join(map(str, path))


def parameter_paths(model: nnx.Module) -> list[str]:
    """The dotted paths of a model's parameters.

    >>> parameter_paths(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    ['kernel', 'bias']
    """
    return [dotted(path) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]


def assign(groups: Sequence[GroupConfig], paths: Sequence[str]) -> dict[str, int | None]:
    """Return the number of the first group that matches each path, None where none does.

    Raises:
      InputError: a group matches nothing, or nothing that is left by those before it; all is frozen.

    >>> assign([GroupConfig("head"), GroupConfig("**.bias")], ["conv.kernel", "conv.bias", "head.bias"])
    {'conv.kernel': None, 'conv.bias': 1, 'head.bias': 0}
    """
    found: dict[str, int | None] = dict.fromkeys(paths)
    for number, group in enumerate(groups):
        key = f"optim.groups[{number}].match"
        try:
            matched = matching(group.match, paths)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        free = [path for path in matched if found[path] is None]
        if not free:
            taken = f"optim.groups[{found[matched[0]]}]"
            raise InputError(
                f"{key}: {taken} comes first and takes all that {group.match!r} matches; put it behind"
            )
        found |= dict.fromkeys(free, number)
    if groups and all(number is not None and groups[number].frozen for number in found.values()):
        raise InputError("optim.groups: all parameters are frozen, so there is nothing to train")
    return found
