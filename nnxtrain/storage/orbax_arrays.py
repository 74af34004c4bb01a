"""Arrays by path, written and read by Orbax, around what it refuses or changes silently.

A path joins keys by slashes, ``"params/conv1/kernel"``. Percent signs, dots and slashes inside a
key are escaped as in URLs: Orbax joins keys by dots, and without that would write
``{"a.b": x, "a": {"b": y}}`` to one place.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    import orbax.checkpoint as ocp


def join(keys: Iterable[str]) -> str:
    """Return the path of some keys.

    >>> join(["layers", "a.b", ""])
    'layers/a%2Eb/%'
    """
    return "/".join(map(escape, keys))


def escape(key: str) -> str:
    """Return a key as it stands in a path."""
    return key.replace("%", "%25").replace(".", "%2E").replace("/", "%2F") or "%"


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dicts, with the keys as they stand in the paths (escaped)."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[name] = value
    return tree


def checkpointer() -> ocp.AsyncCheckpointer:
    """Return an Orbax checkpointer that logs nothing; close it after use.

    It does not compress: of trained numbers that would save a tenth, and cost most of a save's time.
    """
    import orbax.checkpoint as ocp  # 0.7 s

    _quieten()
    return ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler(use_compression=False))


def start_save(
    checkpointer: ocp.AsyncCheckpointer, directory: Path, flat: Mapping[str, Any]
) -> None:
    """Begin to write arrays (no typed PRNG keys) to ``directory``, which must be absolute and new.

    Orbax works in the background (``wait_until_finished``) and raises as it likes: ``OSError``,
    ``ValueError``, ``RuntimeError``.
    """
    if stored := without_empty(flat):
        import orbax.checkpoint as ocp

        checkpointer.save(directory, args=ocp.args.PyTreeSave(nest(stored)))


def restore(directory: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays of ``directory`` on the devices of ``like``; what ``like`` leaves out is not read.

    Args:
      like: jax arrays or ``jax.ShapeDtypeStruct``; where it has a numpy array, so has the result. What is on no device in
        particular (an uncommitted array, a shape without a sharding) is not either afterwards: a compiled function that
        has seen the one would be compiled anew for the other. Shapes and dtypes must be those saved: Orbax would cut and
        cast.

    Raises what Orbax raises: ``OSError``, ``ValueError``, ``KeyError``.
    """
    targets = {path: _target(x) for path, x in like.items()}
    stored = without_empty(targets)
    found: dict[str, Any] = {}
    if stored:
        import orbax.checkpoint as ocp

        _quieten()
        item = nest(stored)
        arguments = ocp.args.PyTreeRestore(
            item=item,
            restore_args=ocp.checkpoint_utils.construct_restore_args(item),
            partial_restore=True,
        )
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
            tree = orbax.restore(directory, args=arguments)
        for path in stored:
            *parents, name = path.split("/")
            found[path] = functools.reduce(lambda node, key: node[key], parents, tree).pop(name)
    for path, x in like.items():
        array = found[path] if path in found else _zeros(targets[path])
        is_host = isinstance(x, np.ndarray | np.generic)
        found[path] = array if is_host or isinstance(array, jax.Array) else jax.device_put(array)
    return {path: found[path] for path in like}


def without_empty(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Orbax refuses arrays of no elements; their shape and dtype in the manifest say it all."""
    return {path: x for path, x in arrays.items() if math.prod(x.shape)}


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut to a readable length."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line if len(line) <= 200 else f"{line[:197]}..."


def _target(x: Any) -> Any:
    """What Orbax is to restore in the place of ``x``: on the host, or with a sharding: else it takes the
    saved one, whose devices may not be here."""
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x)
    committed = x.committed if isinstance(x, jax.Array) else x.sharding is not None
    if not committed:
        return np.broadcast_to(np.zeros((), x.dtype), x.shape)  # says what to read, in no memory
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _zeros(target: Any) -> Any:
    if isinstance(target, np.ndarray):
        return np.zeros_like(target)
    return jnp.zeros(target.shape, target.dtype, device=target.sharding)


def _quieten() -> None:
    """Orbax logs to absl's logger, tracebacks of what it raises included; we raise that again."""
    logger = logging.getLogger("absl")
    if _is_not_orbax not in logger.filters:
        logger.addFilter(_is_not_orbax)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    return "/orbax/checkpoint/" not in record.pathname
