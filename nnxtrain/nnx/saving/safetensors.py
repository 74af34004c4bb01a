"""Models as safetensors files, which PyTorch and others read: one flat file of named arrays.

Names are paths joined by dots. A shared Variable is stored once; its other names are in the metadata, each with the
name it is stored under, as PyTorch's ``safetensors.torch.save_model`` does. A typed PRNG key is its uint32 data, with
its kind in the metadata under ``key:`` and its name.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.nnx.graph.functional import state
from nnxtrain.nnx.saving.leaves import Leaves, Path
from nnxtrain.nnx.saving.report import LoadError, LoadWarning, match
from nnxtrain.nnx.saving.values import Spec, is_key, put_back, spec_of, to_host, zeros_like
from nnxtrain.storage.atomic_write import sync_directory

_NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_KEY = "key:"


def save_safetensors(
    path: str | os.PathLike[str],
    target: Any,
    *filters: Any,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the arrays of a model (or a State, or a pytree of arrays) to a safetensors file, replacing it.

    Args:
      path: the file; ``~`` is fine.
      *filters: which Variables, as for ``nnx.state``; all without.
      metadata: strings that the file shall carry.

    Needs the package safetensors (``pip install "nnxtrain[safetensors]"``).

    Raises:
      TypeError: a value is no array, or of a dtype that the format does not have (complex128, int4).
      ValueError: two paths give the same name, or a name in ``metadata`` is taken.

    >>> import tempfile
    >>> from nnxtrain import nnx
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.save_safetensors(folder.name + "/linear.safetensors", model, nnx.Param, metadata={"licence": "MIT"})
    >>> _ = nnx.load_safetensors(folder.name + "/linear.safetensors", nnx.Linear(2, 3, rngs=nnx.Rngs(1)))
    >>> folder.cleanup()
    """
    _package()
    from safetensors.numpy import save_file

    file = _absolute(path)
    leaves = Leaves(target)
    chosen = _chosen(leaves, target, filters)
    held = {str(k): str(v) for k, v in (metadata or {}).items()}
    tensors: dict[str, np.ndarray] = {}
    extra: dict[str, str] = {}
    for keys, value in zip(leaves.paths, leaves.values):
        if keys not in chosen:
            continue
        name = ".".join(keys)
        spec = spec_of(name, value)
        if name in tensors:
            raise ValueError(
                f"two values have the name {name!r}: a key has a dot in it; rename one"
            )
        if spec.shape is None:
            raise TypeError(
                f"{name} is a Python {spec.dtype}, and a safetensors file holds arrays only"
            )
        if is_key(value):
            extra[_KEY + name] = spec.dtype
        array = to_host(name, value)
        if array.dtype.name not in _NAMES:
            raise TypeError(
                f"{name} is of {array.dtype}, which the safetensors format does not have"
            )
        tensors[name] = array
    extra |= {".".join(a): ".".join(p) for a, p in leaves.aliases.items() if p in chosen}
    if taken := extra.keys() & held.keys():
        raise ValueError(
            f"the metadata name {min(taken)!r} is the path of a shared value; choose another"
        )
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch()
    mode = temporary.stat().st_mode  # the package makes files that only their owner can read
    save_file(tensors, temporary, metadata=held | extra or None)
    temporary.chmod(mode)
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())
    os.replace(temporary, file)
    sync_directory(file.parent)


def load_safetensors(
    path: str | os.PathLike[str],
    target: Any,
    *filters: Any,
    strict: bool = True,
    rename: Mapping[str, str] | None = None,
) -> Any:
    """Load a safetensors file into a model, by path and in place.

    Args:
      path: the file.
      target: a model, or a pytree of arrays (of which a new one is returned).
      *filters: which Variables are meant, as for ``nnx.state``; the others keep their values, and are not missed.
      strict: every path, shape and dtype must agree. False: load what fits, and warn of what does not.
      rename: prefixes in the file and what they are in the target (see :func:`nnx.load`).

    Returns:
      the target.

    Raises:
      FileNotFoundError: there is no such file.
      LoadError: it is damaged or does not fit; ``error.report`` lists how. The target is as it was.
    """
    file = _absolute(path)
    specs, values, aliases = _read(file)
    leaves = Leaves(target)
    chosen = _chosen(leaves, target, filters)
    wanted = {_split(keys): spec for keys, spec in leaves.specs().items() if keys in chosen}
    zeros = {*map(_split, leaves.zero_when_missing)}
    report, found = match(specs, wanted, rename, aliases=aliases, zero_when_missing=zeros)
    if not report.complete:
        if strict:
            raise LoadError(f"{file} does not fit the target: {report}", report)
        warnings.warn(f"{file} is loaded in part: {report}", LoadWarning, stacklevel=2)
    new = []
    for keys, old in zip(leaves.paths, leaves.values):
        if keys in chosen and _split(keys) in found:
            name = found[_split(keys)]
            new.append(zeros_like(old) if name is None else put_back(values[name], old))
        else:
            new.append(old)
    return leaves.write(new)


def _chosen(leaves: Leaves, target: Any, filters: tuple[Any, ...]) -> set[Path]:
    if not filters:
        return {*leaves.paths}
    return {*leaves.paths} & {*Leaves(state(target, list(filters))).paths}


def _split(path: Path) -> Path:
    """The path as a name with dots gives it, also where a key has a dot in it."""
    return tuple(".".join(path).split("."))


def _absolute(path: str | os.PathLike[str]) -> FilePath:
    return FilePath(os.path.abspath(os.path.expanduser(path)))


def _package() -> ModuleType:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            'safetensors files need the package safetensors: pip install "nnxtrain[safetensors]"'
        ) from None
    return safetensors


def _read(file: FilePath) -> tuple[dict[Path, Spec], dict[Path, np.ndarray], set[Path]]:
    """Kinds and values (mapped into memory, read when used) by path, and which paths are other names of a value."""
    package = _package()
    try:
        with package.safe_open(file, "np") as opened:  # checks the header against the file's length
            metadata = opened.metadata() or {}
    except package.SafetensorError as error:
        raise LoadError(f"{file} cannot be read: {error}") from error
    with open(file, "rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        header = json.loads(raw.read(length))
    content = (
        np.memmap(file, np.uint8, "r", 8 + length)
        if _has_content(header)
        else np.empty(0, np.uint8)
    )
    specs: dict[Path, Spec] = {}
    values: dict[Path, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise LoadError(f"{file}: {name} is of {entry['dtype']}, which JAX does not have")
        path, shape = tuple(name.split(".")), tuple(entry["shape"])
        start, end = entry["data_offsets"]
        values[path] = content[start:end].view(jnp.dtype(_DTYPES[entry["dtype"]])).reshape(shape)
        specs[path] = Spec(_DTYPES[entry["dtype"]], shape)
        if kind := metadata.get(_KEY + name):
            specs[path] = Spec(kind, _key_shape(kind, shape))
    aliases = {tuple(a.split(".")): tuple(n.split(".")) for a, n in metadata.items()}
    aliases = {a: n for a, n in aliases.items() if n in values and a not in values}
    for alias, path in aliases.items():
        specs[alias], values[alias] = specs[path], values[path]
    return specs, values, set(aliases)


def _has_content(header: Mapping[str, Any]) -> bool:
    return any(e["data_offsets"][1] for name, e in header.items() if name != "__metadata__")


def _key_shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the keys whose data have a shape."""
    data = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=kind[4:-1])))
    return shape[: len(shape) - data.ndim]
