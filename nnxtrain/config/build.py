"""Build the objects that a configuration names.

A node is a dict with ``_target_``; its other keys are arguments. ``_args_`` gives positional ones,
``_partial_: true`` asks for the callable instead of its result. Plain lists and dicts are handed
over as such. Values that only the run knows (``rngs``, ``num_classes``, …) are injected by
parameter name, wherever the signature has the name and the configuration is silent.

A class that knows more than the run, such as the shape at some depth of a network, builds nodes
itself: where its parameter is annotated ``functools.partial`` (or a sequence of it) it is given what
builds each node when called with further values. There, a name alone is a node without arguments, a
function is handed over with its arguments, uncalled, and ``num_classes``, ``num_targets`` or
``vocab_size`` as an argument is the run's value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnxtrain.config.signature import is_required, parameters, stays_unbuilt
from nnxtrain.config.target import locate
from nnxtrain.errors import InputError, NnxtrainError

KEYS = ("_target_", "_args_", "_partial_")
MISSING = "???"
NAMED = ("num_classes", "num_targets", "vocab_size")  # values that an unbuilt node may name
OF_DATA = (*NAMED, "input_shape", "in_features")  # some data sets have no classes, say


def is_node(value: Any) -> bool:
    """Return whether a configuration value asks for an object to be built."""
    return isinstance(value, Mapping) and "_target_" in value


def resolve(node: Any, *, packages: Sequence[str] = (), **runtime: Any) -> Any:
    """Build ``node``, and the nodes nested in it, and return the result.

    Args:
        node: a dict with ``_target_``, or a list or dict that contains such, or a plain value,
            which is returned as it is.
        packages: packages of the user that ``_target_`` may name besides ours.
        **runtime: values injected by parameter name. A ``_partial_`` node takes none: whoever calls
            it gives them.

    Raises:
        InputError: a target that is not allowed, a missing value, arguments that do not fit, or an
            exception of the target itself (kept as the cause).

    >>> resolve({"_target_": "optax.linear_schedule", "init_value": 1.0, "end_value": 0.0},
    ...         transition_steps=10)(5)
    Array(0.5, dtype=float32, weak_type=True)
    >>> resolve({"_target_": "jax.nn.relu", "_partial_": True})(-1.0)
    Array(0., dtype=float32, weak_type=True)
    """
    if isinstance(node, str) and node == MISSING:
        raise InputError("a value is missing ('???')")
    if isinstance(node, list | tuple):
        return [resolve(item, packages=packages, **runtime) for item in node]
    if not isinstance(node, Mapping):
        return node
    if not is_node(node):
        return {key: resolve(item, packages=packages, **runtime) for key, item in node.items()}
    return _build(node, packages, runtime)


def is_told(value: Any, name: str, packages: Sequence[str] = ()) -> bool:
    """Return whether the run gives its value ``name`` to a node, or to one that is nested in it.

    >>> chain = {"_target_": "optax.chain", "_args_": [{"_target_": "optax.adam"}]}
    >>> is_told(chain, "learning_rate"), is_told(chain, "total_steps")
    (True, False)
    >>> is_told({"_target_": "nnxtrain.optim.cosine", "total_steps": 100}, "total_steps")
    False
    """
    if is_node(value):
        if value.get("_partial_", False):
            return False
        if name not in value and name in parameters(locate(value["_target_"], packages)):
            return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(is_told(item, name, packages) for item in inner)


def _build(node: Mapping[str, Any], packages: Sequence[str], runtime: dict[str, Any]) -> Any:
    name = node["_target_"]
    target = locate(name, packages)
    for key, value in node.items():
        if value == MISSING:
            raise InputError(f"{name}: the value of {key!r} is missing ('???')")
        if not isinstance(key, str) or (key.startswith("_") and key not in KEYS):
            raise InputError(f"{name}: {key!r} is not a key here (only {', '.join(KEYS)})")
    known = parameters(target)
    unbuilt = [key for key, parameter in known.items() if stays_unbuilt(parameter.annotation)]

    def built(item: Any, parameter: str | None) -> Any:
        # Runtime values go down to nested nodes too: rngs must reach every layer.
        make = _unbuilt if parameter in unbuilt else resolve
        return make(item, packages=packages, **runtime)

    given = node.get("_args_") or ()
    args = [built(item, key) for item, key in zip(given, [*known, *[None] * len(given)])]
    kwargs = {key: built(item, key) for key, item in node.items() if key not in KEYS}
    if node.get("_partial_", False):
        return functools.partial(target, *args, **kwargs) if args or kwargs else target
    kwargs |= injected(target, len(args), kwargs, runtime)
    for key in list(known)[len(args) :]:
        if key in OF_DATA and key not in kwargs and is_required(known[key]):
            raise InputError(f"{_lacking(name, key, runtime)} set it, e.g. model.{key}=1")
    return _call(name, target, args, kwargs)


def _unbuilt(value: Any, *, packages: Sequence[str], **runtime: Any) -> Any:
    """Return what builds a node, or each node of a list, when it is called with further values."""
    if isinstance(value, list | tuple):
        return [_unbuilt(item, packages=packages, **runtime) for item in value]
    return functools.partial(_build_part, value, packages=packages, **runtime)


def _build_part(value: Any, *, packages: Sequence[str], **runtime: Any) -> Any:
    return resolve(as_node(value, packages, runtime), packages=packages, **runtime)


def as_node(value: Any, packages: Sequence[str], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what stands for a node where nodes stay unbuilt as the plain node that it means.

    Args:
        value: a node, or a dotted name.
        packages: as in :func:`resolve`.
        values: what the names in ``NAMED`` stand for.

    Raises:
        InputError: the value is neither of both, its target cannot be had, or a value is unknown.

    >>> as_node("jax.nn.relu", (), {})
    {'_target_': 'jax.nn.relu', '_partial_': True}
    >>> node = {"_target_": "nnxtrain.nnx.Linear", "out_features": "num_classes"}
    >>> as_node(node, (), {"num_classes": 5})
    {'_target_': 'nnxtrain.nnx.Linear', 'out_features': 5}
    """
    node = {"_target_": value} if isinstance(value, str) else value
    if not is_node(node):
        raise InputError(f"expected a node with _target_, or a dotted name, got {value!r}")
    name = node["_target_"]
    node = {key: _with_values(item, name, values) for key, item in node.items()}
    return node if isinstance(locate(name, packages), type) else {**node, "_partial_": True}


def _with_values(value: Any, name: str, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_values(item, name, values) for item in value]
    if isinstance(value, Mapping):
        return {key: _with_values(item, name, values) for key, item in value.items()}
    if not isinstance(value, str) or value not in NAMED:
        return value
    if value not in values:
        raise InputError(f"{_lacking(name, value, values)} write a number instead")
    return values[value]


def _lacking(name: str, wanted: str, runtime: Mapping[str, Any]) -> str:
    told = [f"{key}={runtime[key]}" for key in OF_DATA if key in runtime]
    return (
        f"{name} needs {wanted}, and this data has none (it has {', '.join(told) or 'nothing'}): "
        f"choose other data, or another model, or"
    )


def injected(
    target: Callable[..., Any],
    positional: int,
    given: Mapping[str, Any],
    runtime: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the runtime values that ``target`` has parameters for and that were not given."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {}
    for position, parameter in enumerate(parameters(target).values()):
        taken = position < positional and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        name = parameter.name
        if parameter.kind in by_name and not taken and name in runtime and name not in given:
            found[name] = runtime[name]
    return found


def _call(
    name: str, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    try:
        return target(*args, **kwargs)
    except NnxtrainError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise InputError(f"{name} could not be built: {type(error).__name__}: {first}") from error
