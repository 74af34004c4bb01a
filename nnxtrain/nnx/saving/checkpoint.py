"""``nnx.save`` and ``nnx.load``: a model, an optimizer or any tree of them as a directory.

Orbax writes the arrays; a manifest with the SHA-256 of every file, written last, says what the directory holds and
whether it is still what was saved. It is built under a hidden name beside its place and then renamed, so a save that
is killed leaves nothing that could be loaded.
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

import jax
import numpy as np

from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.saving.leaves import Leaves, Path
from nnxtrain.nnx.saving.report import LoadError, LoadReport, LoadWarning, match
from nnxtrain.nnx.saving.values import (
    Spec,
    decode_scalar,
    encode_scalar,
    is_key,
    put_back,
    sharding_of,
    spec_of,
    to_host,
    zeros_like,
)
from nnxtrain.nnx.variable.variable import Variable
from nnxtrain.storage import orbax_arrays
from nnxtrain.storage.atomic_write import sync_directory
from nnxtrain.storage.manifest import MANIFEST, IncompleteError, read_manifest, write_manifest

FORMAT = 1
ARRAYS = "arrays"
_BYTES = frozenset(
    {"uint2", "uint4", "float8_e4m3"}
)  # what Orbax does not know is written as bytes

# One save at a time: Orbax keeps state of the whole process (several saves at once fail or hang), and of threads
# that save to one path the first shall win. Reentrant, for a signal handler that saves while its thread does.
_SAVING = threading.RLock()

Sharding = jax.sharding.Sharding | Callable[[tuple[str, ...], Any], Any] | None


def save(path: str | os.PathLike[str], target: Any, *, overwrite: bool = False) -> None:
    """Save the values of a model, an optimizer, or any pytree of such objects, arrays and scalars, as a directory.

    Args:
      path: the directory, which must be new or empty; relative ones and ``~`` are fine, parents are made.
      target: what :func:`load` will be given the like of. Shared Variables are written once, static parts are not.
      overwrite: replace what an earlier ``save`` wrote there (and nothing else).

    In a program of several processes all of them call it. Threads take turns. It returns when everything is on disk.

    Raises:
      FileExistsError: there is something else at ``path``, or an earlier save and not ``overwrite``.
      TypeError: a leaf is no array, number, string or bytes.
      OSError: it could not be written; what was there before is as it was.

    >>> import tempfile
    >>> from nnxtrain import nnx
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    >>> nnx.save(folder.name + "/linear", model)
    >>> again = nnx.load(folder.name + "/linear", lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(1)))
    >>> bool((again.kernel.value == model.kernel.value).all())
    True
    >>> folder.cleanup()
    """
    final = _absolute(path)
    with _SAVING:
        _check_free(final, overwrite)
        _write(final, *_contents(target))
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f"nnx.save {final}")


def load(
    path: str | os.PathLike[str],
    target: Any,
    *,
    strict: bool = True,
    rename: Mapping[str, str] | None = None,
    sharding: Sharding = None,
) -> Any:
    """Load what :func:`save` wrote into a model, or into what a function makes.

    Args:
      path: the directory.
      target: an object, or a pytree of objects, arrays and scalars: objects are changed in place. Or a function without
        arguments that makes one (``lambda: Model(rngs=nnx.Rngs(0))``): it is run by ``nnx.eval_shape``, so that
        nothing is computed, and no memory taken, for values that are replaced anyway.
      strict: every path, shape and dtype must agree. False: load what fits, warn (``nnx.LoadWarning``) of what does not;
        :func:`load_report` lists it. What is not in the file keeps its value.
      rename: prefixes in the file and what they are in the target, ``{"encoder": "backbone.encoder"}``; ``""`` is the
        beginning of every path.
      sharding: where the arrays shall be: a ``jax.sharding.Sharding`` for all, or a function ``(path, array) ->`` sharding
        or None. By default where the target's arrays are; of a function's result, where the Variables' ``out_sharding``
        puts them on the mesh of ``jax.set_mesh``.

    Returns:
      the target (a pytree with its plain leaves replaced), or the new object.

    Raises:
      FileNotFoundError: there is nothing at ``path``.
      LoadError: it is damaged, or it does not fit; the message names what is missing, unexpected and of another shape,
        and ``error.report`` lists it all. The target is as it was.
    """
    directory = _absolute(path)
    source, entries = _open(directory, contents=True)
    instance, is_new = _instance(target)
    leaves = Leaves(instance)
    report, found = match(
        _specs(entries), leaves.specs(), rename, zero_when_missing=leaves.zero_when_missing
    )
    if not report.complete:
        if strict:
            raise LoadError(f"{directory} does not fit the target: {report}", report)
        warnings.warn(f"{directory} is loaded in part: {report}", LoadWarning, stacklevel=2)
        if is_new and (report.missing or report.mismatched):
            leaves = Leaves(target())  # what the file lacks must have real values
    likes = dict(zip(leaves.paths, leaves.values))
    if sharding is not None:
        likes = {path: _placed(path, like, sharding) for path, like in likes.items()}
    values = _read(
        source, entries, {name: likes[p] for p, name in found.items() if name is not None}
    )
    new = {
        path: zeros_like(likes[path]) if name is None else put_back(values[name], likes[path])
        for path, name in found.items()
    }
    return leaves.write([new.get(path, old) for path, old in zip(leaves.paths, leaves.values)])


def load_report(
    path: str | os.PathLike[str], target: Any, *, rename: Mapping[str, str] | None = None
) -> LoadReport:
    """What :func:`load` would load, and what not. Reads no arrays, and changes nothing.

    Raises:
      FileNotFoundError: there is nothing at ``path``.
      LoadError: it is no save, or incomplete.
    """
    _, entries = _open(_absolute(path), contents=False)
    leaves = Leaves(_instance(target)[0])
    return match(
        _specs(entries), leaves.specs(), rename, zero_when_missing=leaves.zero_when_missing
    )[0]


def _absolute(path: str | os.PathLike[str]) -> FilePath:
    """The place itself, not a link to it: what is renamed to the place would take the place of the link."""
    return FilePath(os.path.realpath(os.path.expanduser(path)))


def _beside(final: FilePath, what: str) -> FilePath:
    return final.with_name(f".{final.name}.{what}")


def _check_free(final: FilePath, overwrite: bool) -> None:
    if not final.is_dir():
        if final.exists() or final.is_symlink():
            raise FileExistsError(
                f"{final} is a file; nnx.save makes a directory there: give another path"
            )
        return
    held = {name for name in os.listdir(final) if not name.startswith(".")}
    if held and not overwrite:
        raise FileExistsError(
            f"{final} exists; nnx.save(..., overwrite=True) replaces an earlier save"
        )
    if not held <= {MANIFEST, ARRAYS} or (held and MANIFEST not in held):
        strange = min(held - {MANIFEST, ARRAYS}, default=ARRAYS)
        raise FileExistsError(
            f"{final} holds {strange}, which nnx.save did not write, and is not overwritten: give another path"
        )


def _contents(target: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest's entry of each value, and the arrays, by name."""
    leaves = Leaves(target)
    entries: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for path, value in zip(leaves.paths, leaves.values):
        spec = spec_of(".".join(path), value)
        entry: dict[str, Any] = {"path": list(path), "dtype": spec.dtype}
        if spec.shape is None:
            entries[_file_name(path)] = {**entry, "value": encode_scalar(value)}
            continue
        raw = _raw(".".join(path), value)
        arrays[_file_name(path)] = raw
        data = [str(np.dtype(raw.dtype)), *raw.shape]
        entries[_file_name(path)] = {**entry, "shape": list(spec.shape), "data": data}
    return entries, arrays


def _write(final: FilePath, entries: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    saving, replaced = _beside(final, "saving"), _beside(final, "replaced")
    try:
        if jax.process_index() == 0:
            if replaced.exists() and not final.exists():  # an overwriting save was killed there
                replaced.rename(final)
            shutil.rmtree(saving, ignore_errors=True)
            saving.mkdir(parents=True)
        with orbax_arrays.checkpointer() as orbax:
            orbax_arrays.start_save(orbax, saving / ARRAYS, arrays)
            orbax.wait_until_finished()
        if jax.process_index() == 0:
            write_manifest(saving, {"kind": "nnx", "leaves": entries}, format=FORMAT)
            shutil.rmtree(replaced, ignore_errors=True)
            if final.exists():
                final.rename(replaced)
            saving.rename(final)
            sync_directory(final.parent)
            shutil.rmtree(replaced, ignore_errors=True)
    except (OSError, ValueError, RuntimeError) as error:
        shutil.rmtree(saving, ignore_errors=True)
        raise OSError(f"{final} was not saved: {orbax_arrays.first_line(error)}") from error


def _file_name(path: Path) -> str:
    return orbax_arrays.join(path) or "%root"


def _raw(name: str, value: Any) -> Any:
    """The array that Orbax writes: of a key its data, of a dtype that Orbax does not know its bytes."""
    if isinstance(value, jax.Array):
        value = jax.random.key_data(value) if is_key(value) else value
        if value.dtype.name not in _BYTES:
            return value
    array = to_host(name, value)
    return array.view(np.uint8) if array.dtype.name in _BYTES else array


def _open(directory: FilePath, *, contents: bool) -> tuple[FilePath, dict[str, Any]]:
    """Where the files are, and the manifest's entry of each value."""
    replaced = _beside(directory, "replaced")
    source = replaced if replaced.exists() and not directory.exists() else directory
    if not source.exists():
        raise FileNotFoundError(f"there is nothing at {directory}")
    try:
        manifest = read_manifest(source, format=FORMAT, contents=contents)
    except IncompleteError as error:
        raise LoadError(f"{directory} cannot be loaded: {error}") from error
    if manifest.get("kind") != "nnx":
        raise LoadError(f"{directory} was not written by nnx.save")
    return source, manifest["leaves"]


def _specs(entries: Mapping[str, Any]) -> dict[Path, Spec]:
    return {
        tuple(e["path"]): Spec(e["dtype"], tuple(e["shape"]) if "shape" in e else None)
        for e in entries.values()
    }


def _instance(target: Any) -> tuple[Any, bool]:
    """The object to load into, and whether a function made it."""
    from nnxtrain.nnx.transforms.abstract import eval_shape
    from nnxtrain.nnx.variable.partitioning import with_annotated_shardings

    is_factory = (
        callable(target)
        and not isinstance(target, Object | Variable)
        and jax.tree_util.all_leaves([target])
    )
    return (with_annotated_shardings(eval_shape(target)), True) if is_factory else (target, False)


def _placed(path: Path, like: Any, sharding: Any) -> Any:
    """``like`` on other devices."""
    if not isinstance(like, jax.Array | jax.ShapeDtypeStruct):
        return like
    place = sharding if isinstance(sharding, jax.sharding.Sharding) else sharding(path, like)
    return like if place is None else jax.ShapeDtypeStruct(like.shape, like.dtype, sharding=place)


def _read(
    source: FilePath, entries: Mapping[str, Any], likes: Mapping[Path, Any]
) -> dict[Path, Any]:
    """The values with the paths of ``likes``, arrays on their devices where these have some, else on the host."""
    values: dict[Path, Any] = {}
    wanted: dict[str, Any] = {}
    for name, entry in entries.items():
        path = tuple(entry["path"])
        if "value" in entry:
            values[path] = decode_scalar(entry["value"])
        elif path in likes:
            wanted[name] = _orbax_target(entry, likes[path])
    try:
        arrays = orbax_arrays.restore(source / ARRAYS, wanted)
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"{source} cannot be read: {orbax_arrays.first_line(error)}") from error
    for name, array in arrays.items():
        path, dtype = tuple(entries[name]["path"]), entries[name]["dtype"]
        values[path] = array.view(np.dtype(dtype)) if dtype in _BYTES else array
    return values


def _orbax_target(entry: Mapping[str, Any], like: Any) -> Any:
    """What Orbax shall make: an array on the devices of ``like``, or one on the host, which ``put_back`` makes fit."""
    dtype, *shape = entry["data"]
    place = None if is_key(like) else sharding_of(like)
    if place is not None and dtype == np.dtype(like.dtype).name:
        return jax.ShapeDtypeStruct(shape, np.dtype(dtype), sharding=place)
    return np.broadcast_to(np.zeros((), np.dtype(dtype)), shape)
