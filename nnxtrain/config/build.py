"""Build the objects that a configuration names.

A node is a dict with ``_target_``; its other keys are arguments. ``_args_`` gives positional ones,
``_partial_: true`` asks for the callable instead of its result. Plain lists and dicts are handed
over as such. Values that only the run knows (``rngs``, ``num_classes``, …) are injected by
parameter name, wherever the signature has the name and the configuration is silent.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnxtrain.config.signature import parameters
from nnxtrain.config.target import locate
from nnxtrain.errors import InputError, NnxtrainError

KEYS = ("_target_", "_args_", "_partial_")
MISSING = "???"


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


def takes(node: Any, name: str, *, packages: Sequence[str] = ()) -> bool:
    """Whether a node, or one nested in it, has a parameter ``name`` that a runtime value can go to.

    >>> takes({"_target_": "nnxtrain.nnx.Linear"}, "dtype"), takes({"_target_": "optax.adam"}, "dtype")
    (True, False)
    """
    if isinstance(node, list | tuple):
        return any(takes(item, name, packages=packages) for item in node)
    if not isinstance(node, Mapping):
        return False
    if is_node(node) and name in parameters(locate(node["_target_"], packages)):
        return True
    return any(takes(item, name, packages=packages) for item in node.values())


def _build(node: Mapping[str, Any], packages: Sequence[str], runtime: dict[str, Any]) -> Any:
    name = node["_target_"]
    target = locate(name, packages)
    for key, value in node.items():
        if value == MISSING:
            raise InputError(f"{name}: the value of {key!r} is missing ('???')")
        if not isinstance(key, str) or (key.startswith("_") and key not in KEYS):
            raise InputError(f"{name}: {key!r} is not a key here (only {', '.join(KEYS)})")
    # Runtime values go down to nested nodes too: rngs must reach every layer.
    args = [resolve(item, packages=packages, **runtime) for item in node.get("_args_") or ()]
    kwargs = {
        key: resolve(item, packages=packages, **runtime)
        for key, item in node.items()
        if key not in KEYS
    }
    if node.get("_partial_", False):
        return functools.partial(target, *args, **kwargs) if args or kwargs else target
    return _call(name, target, args, kwargs | injected(target, len(args), kwargs, runtime))


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
