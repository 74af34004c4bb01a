"""Rules from a parameter's path to how it is cut over the mesh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import PartitionSpec

from nnxtrain.config.patterns import matching
from nnxtrain.config.schema import RuleConfig
from nnxtrain.errors import InputError, nearest

Shape = tuple[int, ...]
NONE: Mapping[str, PartitionSpec] = {}


def partition(
    rules: Sequence[RuleConfig],
    shapes: Mapping[str, Shape],
    sizes: Mapping[str, int],
    annotated: Mapping[str, PartitionSpec] = NONE,
) -> dict[str, PartitionSpec]:
    """Return how each parameter is cut: by the first rule that matches its path, else by its annotation.

    What has neither is whole on every device; so is what is annotated with a name that is no axis of the mesh.

    Args:
      rules: patterns over dotted paths (see :mod:`nnxtrain.config.patterns`), each with a ``spec``: for each dimension the
        axis that cuts it, a list of such, or null; or with ``largest``: an axis, or a list of such, that cuts the largest
        dimension it divides (the first of equals), if there is one.
      shapes: of the parameters, by path.
      sizes: of the mesh's axes, by name.
      annotated: what the model's author said, by path (``nnx.with_partitioning``).

    Raises:
      InputError: a rule that matches nothing (and is not ``optional``), names no axis, or does not fit a parameter; an
        annotation that does not fit it.

    >>> rules = [RuleConfig("up.kernel", spec=[None, "model"]), RuleConfig("**", largest="fsdp")]
    >>> shapes = {"up.kernel": (8, 32), "up.bias": (32,), "scale": (3,)}
    >>> partition(rules, shapes, {"fsdp": 2, "model": 4})
    {'up.kernel': P(None, 'model'), 'up.bias': P('fsdp',), 'scale': P()}
    """
    specs: dict[str, PartitionSpec] = {}
    for number, rule in enumerate(rules):
        key = f"mesh.rules[{number}]"
        _check(rule, key, sizes)
        try:
            matched = matching(rule.match, shapes)
        except InputError as error:
            if rule.optional:
                continue
            raise InputError(f"{key}.match: {error}") from error
        for path in matched:
            if path not in specs:
                specs[path] = _spec(rule, key, path, shapes[path], sizes)
    for path, spec in annotated.items():
        names = [name for entry in spec for name in _names(entry)]
        if path not in specs and all(name in sizes for name in names):
            key = f"the annotation of {path}"
            _check_once(names, key)
            _check_fit(tuple(spec), key, path, shapes[path], sizes)
            specs[path] = spec
    return {path: specs.get(path, PartitionSpec()) for path in shapes}


def _check(rule: RuleConfig, key: str, sizes: Mapping[str, int]) -> None:
    if (rule.spec is None) == (rule.largest is None):
        raise InputError(
            f"{key}: give spec (an axis or null for each dimension) or largest (an axis)"
        )
    entries = [rule.largest] if rule.spec is None else rule.spec
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise InputError(
            f"{key}.spec: expected a list with an axis or null for each dimension, got {entries!r}"
        )
    names = [name for entry in entries for name in _names(entry)]
    for name in names:
        if name not in sizes:
            raise InputError(
                f"{key}: the mesh has no axis {name!r}{nearest(str(name), sizes)}; it has {', '.join(sizes)}"
            )
    _check_once(names, f"{key}.spec")


def _check_once(names: Sequence[str], key: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{key}: {name} cuts two dimensions; an axis can cut one")


def _spec(
    rule: RuleConfig, key: str, path: str, shape: Shape, sizes: Mapping[str, int]
) -> PartitionSpec:
    if rule.spec is None:
        count = _count(rule.largest, sizes)
        fitting = [n for n in range(len(shape)) if count > 1 and shape[n] and shape[n] % count == 0]
        if not fitting:
            return PartitionSpec()
        dimension = max(fitting, key=lambda n: shape[n])
        return PartitionSpec(*[None] * dimension, _entry(rule.largest))
    _check_fit(rule.spec, key, path, shape, sizes)
    return PartitionSpec(*map(_entry, rule.spec))


def _check_fit(
    spec: Sequence[Any], key: str, path: str, shape: Shape, sizes: Mapping[str, int]
) -> None:
    if len(spec) > len(shape):
        raise InputError(
            f"{key}: {len(spec)} entries, and {path} {list(shape)} has {len(shape)} dimensions"
        )
    for dimension, entry in enumerate(spec):
        count = _count(entry, sizes)
        if shape[dimension] % count:
            raise InputError(
                f"{key}: {'*'.join(_names(entry))}={count} does not divide dimension {dimension} of {path} {list(shape)}; "
                "give the axis another size, or the parameter a rule of its own, before others"
            )


def _names(entry: Any) -> tuple[str, ...]:
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)


def _entry(entry: Any) -> Any:
    return entry if entry is None or isinstance(entry, str) else tuple(entry)


def _count(entry: Any, sizes: Mapping[str, int]) -> int:
    count = 1
    for name in _names(entry):
        count *= sizes[name]
    return count
