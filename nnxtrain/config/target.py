"""From the dotted name in ``_target_`` to the object: an allow-list, not a block-list.

A configuration may come from a colleague or with a checkpoint, so it can name only what a
configuration is for: our models, data sets, tasks and optimizers, optax, jax.nn, and packages that
the user named on this very command line.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from nnxtrain.errors import InputError, nearest

ALLOWED = (
    "nnxtrain.nnx",
    "nnxtrain.models",
    "nnxtrain.data",
    "nnxtrain.augment",
    "nnxtrain.optim",
    "nnxtrain.tasks",
    "nnxtrain.loggers",
    "optax",
    "jax.nn",
)
# Allowed packages re-export functions of jax (``relu``); modules of jax itself stay closed.
_DEFINERS = ("jax", "jaxlib")


def locate(path: str, packages: Sequence[str] = ()) -> Callable[..., Any]:
    """Return the class or function that ``path`` names.

    Every step of the walk must stay inside the allowed packages: a module that one of ours happens
    to import, or an object defined elsewhere, is refused, and so are private names.

    Raises:
        InputError: the name is outside the allow-list, private, unknown, or not callable.

    >>> locate("optax.adam").__name__
    'adam'
    >>> locate("os.system")
    Traceback (most recent call last):
    nnxtrain.errors.InputError: 'os.system' is outside the allowed packages ...
    """
    if not isinstance(path, str) or not path:
        raise InputError(f"expected a dotted name such as 'nnxtrain.models.MLP', got {path!r}")
    allowed = (*ALLOWED, *packages)
    parts = path.split(".")
    if not all(part.isidentifier() for part in parts):
        raise InputError(f"{path!r} is not a dotted name")
    if private := [part for part in parts if part.startswith("_")]:
        raise InputError(f"{path!r} names something private ({private[0]!r})")
    root = next((name for name in allowed if _inside(path, (name,)) and path != name), None)
    if root is None:
        raise InputError(_outside(path, allowed))

    found: Any = _import(root, path)
    for position in range(root.count(".") + 1, len(parts)):
        found = _step(found, parts[position], ".".join(parts[: position + 1]), allowed)
    if isinstance(found, types.ModuleType) or not callable(found):
        raise InputError(f"{path!r} is not a class or a function")
    return found


def _step(parent: Any, name: str, path: str, allowed: Sequence[str]) -> Any:
    """Return attribute ``name`` of ``parent``, importing a submodule if that is what it is."""
    if not isinstance(parent, types.ModuleType | type):
        raise InputError(f"{path!r}: only modules and classes are looked into")
    if not hasattr(parent, name) and isinstance(parent, types.ModuleType):
        try:
            importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path and not path.startswith(f"{error.name}."):
                raise _unimportable(path, error) from error
        except Exception as error:
            raise _unimportable(path, error) from error
    if not hasattr(parent, name):
        public = [other for other in dir(parent) if not other.startswith("_")]
        holder = path.rpartition(".")[0]
        raise InputError(f"{holder} has no {name!r}{nearest(name, public)}")
    found = getattr(parent, name)
    if isinstance(found, types.ModuleType):
        # A parent package of an allowed one (``jax`` of ``jax.nn``) is not itself allowed.
        if not _inside(found.__name__, allowed):
            raise InputError(f"{path!r} leads to {found.__name__}, outside the allowed packages")
    elif not _inside(definer := _defined_in(found), (*allowed, *_DEFINERS)):
        raise InputError(f"{path!r} is defined in {definer}, outside the allowed packages")
    return found


def _defined_in(found: Any) -> str:
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.ismethod(found) and not isinstance(found.__self__, type):
        return type(found.__self__).__module__ + " (a method of an object)"
    return getattr(found, "__module__", None) or "an unknown place"


def _inside(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _import(module: str, path: str) -> types.ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the module's own code raises
        raise _unimportable(path, error) from error


def _unimportable(path: str, error: Exception) -> InputError:
    first = (str(error).splitlines() or [""])[0]
    return InputError(f"cannot import {path!r}: {type(error).__name__}: {first}")


def _outside(path: str, allowed: Sequence[str]) -> str:
    meant = nearest(path.rpartition(".")[0] or path, allowed)
    package = path.partition(".")[0]
    others = {*sys.stdlib_module_names, *(name.partition(".")[0] for name in ALLOWED)}
    name = "NAME" if package in others else package  # os and jax are nobody's own
    return (
        f"{path!r} is outside the allowed packages ({', '.join(allowed)}){meant}; "
        f"to allow a package of your own add --package {name}"
    )
