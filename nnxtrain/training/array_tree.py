"""Nested dicts of arrays, seen as flat dicts from path to array.

A path joins the keys by slashes, ``"params/conv1/kernel"``, escaped where a key has one in it
(:mod:`nnxtrain.storage.orbax_arrays`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.storage.orbax_arrays import escape

Tree: TypeAlias = Mapping[str, Any]
Spec: TypeAlias = tuple[str, tuple[int, ...]]


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Return the arrays (or ``jax.ShapeDtypeStruct``) of ``tree`` by path. Empty dicts vanish.

    Raises ``TypeError`` for a key that is no string and a leaf that has no plain dtype and shape.

    >>> list(flatten({"params": {"w": np.zeros(2), "b.0": np.zeros(1)}, "step": np.int32(1)}))
    ['params/w', 'params/b%2E0', 'step']
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str):
            raise TypeError(f"{prefix or 'the tree'}: the key {key!r} is not a string")
        path = prefix + escape(key)
        if isinstance(value, Mapping):
            flat |= flatten(value, path + "/")
        elif not hasattr(value, "shape") or not hasattr(value, "dtype"):
            raise TypeError(f"{path}: {type(value).__name__} is not an array")
        elif jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            raise TypeError(f"{path}: a typed PRNG key; take jax.random.key_data of it")
        else:
            flat[path] = value
    return flat


def fill(like: Tree, flat: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``flat`` in the structure, empty dicts included, and with the keys of ``like``."""
    return {
        key: fill(value, flat, f"{prefix}{escape(key)}/")
        if isinstance(value, Mapping)
        else flat[prefix + escape(key)]
        for key, value in like.items()
    }


def specs(flat: Mapping[str, Any]) -> dict[str, Spec]:
    """Return dtype name and shape by path.

    >>> specs({"w": np.zeros((2, 3), np.float32)})
    {'w': ('float32', (2, 3))}
    """
    return {path: (str(x.dtype), tuple(x.shape)) for path, x in flat.items()}


def differences(saved: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> list[str]:
    """Return a phrase for each path that is missing, too many, or of another dtype or shape.

    >>> differences({"w": ("float32", (2,)), "b": ("float32", ())}, {"w": ("float32", (3,))})
    ['w is float32[2] and not float32[3]', 'b is not wanted']
    """
    phrases = []
    for path in [*wanted, *(path for path in saved if path not in wanted)]:
        if path not in saved:
            phrases.append(f"{path} is missing")
        elif path not in wanted:
            phrases.append(f"{path} is not wanted")
        elif saved[path] != wanted[path]:
            phrases.append(f"{path} is {_brief(saved[path])} and not {_brief(wanted[path])}")
    return phrases


def copy(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies in new buffers, those of jax arrays on their devices and without waiting.

    One dispatch for all arrays that live on the same devices. Donating the originals afterwards
    then neither touches the copies nor has to wait for their readers.
    """
    copies = {path: np.array(x) for path, x in flat.items() if not isinstance(x, jax.Array)}
    groups: dict[frozenset[jax.Device], dict[str, jax.Array]] = {}
    for path, x in flat.items():
        if isinstance(x, jax.Array):
            groups.setdefault(frozenset(x.sharding.device_set), {})[path] = x
    for group in groups.values():
        copies |= zip(group, _copy_on_device(list(group.values())))
    return {path: copies[path] for path in flat}


@jax.jit
def _copy_on_device(arrays: list[jax.Array]) -> list[jax.Array]:
    return [jnp.copy(x) for x in arrays]


def _brief(spec: Spec) -> str:
    dtype, shape = spec
    return f"{dtype}[{','.join(map(str, shape))}]"
