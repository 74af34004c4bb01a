"""``to_bytes`` and ``from_bytes``: anything as one string of bytes, in msgpack.

The bytes are a magic word, a SHA-256 of the rest, and a stream of msgpack objects: a header (a map) and the contents of
the arrays one after the other, each cut into ``bin`` objects of at most 1 GiB (msgpack's own limit is 4 GiB).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np

from nnxtrain.nnx.saving.leaves import Leaves, Path
from nnxtrain.nnx.saving.report import LoadError, match
from nnxtrain.nnx.saving.values import (
    Spec,
    decode_scalar,
    encode_scalar,
    put_back,
    spec_of,
    to_host,
    zeros_like,
)

MAGIC = b"NNXBYTES"
VERSION = 1
CHUNK = 2**30
_DIGEST = hashlib.sha256().digest_size


def to_bytes(target: Any) -> bytes:
    """Return the values of a model, an optimizer, Rngs, a State, a dataclass or any pytree of them as bytes.

    Arrays keep their dtype (bfloat16 and typed PRNG keys too), a Variable that is reached twice is written once, and
    what is static is left out: :func:`from_bytes` takes it from its target.

    Raises:
      TypeError: a leaf is no array, number, string or bytes.
      ValueError: a value is abstract, or spread over several processes.

    >>> import jax.numpy as jnp
    >>> data = to_bytes({"w": jnp.arange(3.0), "step": 5})
    >>> restored = from_bytes({"w": jnp.zeros(3), "step": 0}, data)
    >>> restored["w"].tolist(), restored["step"]
    ([0.0, 1.0, 2.0], 5)
    """
    leaves = Leaves(target)
    header: list[dict[str, Any]] = []
    pieces: list[Any] = []
    for path, value in zip(leaves.paths, leaves.values):
        name = ".".join(path)
        spec = spec_of(name, value)
        entry = {"path": list(path), "dtype": spec.dtype}
        if spec.shape is None:
            header.append({**entry, "value": encode_scalar(value)})
            continue
        array = to_host(name, value)
        header.append(
            {**entry, "shape": list(spec.shape), "data": [array.dtype.name, *array.shape]}
        )
        content = memoryview(array.reshape(-1).view(np.uint8).data)
        for start in range(0, len(content), CHUNK):
            chunk = content[start : start + CHUNK]
            pieces += [b"\xc6" + struct.pack(">I", len(chunk)), chunk]  # a msgpack bin 32
    pieces.insert(0, msgpack.packb({"version": VERSION, "leaves": header}))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return b"".join([MAGIC, digest.digest(), *pieces])


def from_bytes(target: Any, data: bytes) -> Any:
    """Return a new object of the structure of ``target`` with the values of :func:`to_bytes`; the target stays as it is.

    Args:
      target: what tells the structure: its values are not used, only their shapes and dtypes, and the devices they are
        on. It may be abstract (``nnx.eval_shape``).
      data: what ``to_bytes`` returned, or ``flax.serialization.to_bytes`` for nested dicts (of ``nnx.to_pure_dict``, say).

    Raises:
      LoadError: the data are damaged or cut off, or their paths, shapes or dtypes are not those of the target; the
        message names them, and ``error.report`` lists them all.

    >>> from nnxtrain import nnx
    >>> data = nnx.to_bytes(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    >>> nnx.from_bytes(nnx.Linear(2, 4, rngs=nnx.Rngs(0)), data)
    Traceback (most recent call last):
    nnxtrain.nnx.saving.report.LoadError: the bytes do not fit the target: 0 paths fit; 2 of other shape or dtype: \
kernel is float32[2,3] and should be float32[2,4], bias is float32[3] and should be float32[4]
    """
    leaves = Leaves(target)
    data = bytes(data) if not isinstance(data, bytes) else data
    specs, values = _read(data) if MAGIC.startswith(data[: len(MAGIC)]) else _read_flax(data)
    report, source = match(specs, leaves.specs(), zero_when_missing=leaves.zero_when_missing)
    if not report.complete:
        raise LoadError(f"the bytes do not fit the target: {report}", report)
    names = [source[path] for path in leaves.paths]
    return leaves.rebuild(
        [
            zeros_like(like) if name is None else put_back(values[name], like)
            for name, like in zip(names, leaves.values)
        ]
    )


def _read(data: bytes) -> tuple[dict[Path, Spec], dict[Path, Any]]:
    body = memoryview(data)[len(MAGIC) + _DIGEST :]
    if hashlib.sha256(body).digest() != data[len(MAGIC) : len(MAGIC) + _DIGEST]:
        raise LoadError(
            f"the bytes are damaged or cut off: their checksum is not that of what to_bytes wrote ({len(data)} bytes here)"
        )
    unpacker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    unpacker.feed(body[: 2**20])
    fed = min(len(body), 2**20)
    while True:
        try:
            header = unpacker.unpack()
            break
        except msgpack.OutOfData:
            unpacker.feed(body[fed : fed + 2**24])
            fed += 2**24
    if header["version"] != VERSION:
        raise LoadError(
            f"the bytes are of version {header['version']}, and this nnxtrain reads {VERSION}: update it"
        )
    specs: dict[Path, Spec] = {}
    values: dict[Path, Any] = {}
    offset = unpacker.tell()
    for entry in header["leaves"]:
        path = tuple(entry["path"])
        if "value" in entry:
            specs[path] = Spec(entry["dtype"], None)
            values[path] = decode_scalar(entry["value"])
            continue
        specs[path] = Spec(entry["dtype"], tuple(entry["shape"]))
        name, *shape = entry["data"]
        values[path], offset = _array(body, offset, jnp.dtype(name), tuple(shape))
    return specs, values


def _array(
    body: memoryview, offset: int, dtype: np.dtype, shape: tuple[int, ...]
) -> tuple[np.ndarray, int]:
    """The array whose chunks begin at ``offset``, without a copy if it is one chunk; and where the next begins."""
    left = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    chunks = []
    while left:
        size = min(left, CHUNK)
        chunks.append(np.frombuffer(body, np.uint8, size, offset + 5))
        offset, left = offset + 5 + size, left - size
    content = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.uint8), *chunks])
    return content.view(dtype).reshape(shape), offset


def _read_flax(data: bytes) -> tuple[dict[Path, Spec], dict[Path, Any]]:
    """What ``flax.serialization.to_bytes`` wrote: nested maps, arrays as extension types."""
    try:
        tree = msgpack.unpackb(data, ext_hook=_flax_value, strict_map_key=False)
        values = dict(_flax_leaves(tree, ()))
    except Exception as error:  # whatever the decoder finds wrong
        raise LoadError(
            f"the bytes are not what to_bytes of nnxtrain or flax wrote ({type(error).__name__}: {error})"
        ) from error
    return {path: spec_of(".".join(path), value) for path, value in values.items()}, values


def _flax_value(code: int, data: bytes) -> Any:
    content = msgpack.unpackb(data)
    if code == 2:
        return complex(*content)
    if code not in (1, 3):
        raise ValueError(f"unknown extension type {code}")
    shape, dtype, buffer = content
    return np.frombuffer(buffer, jnp.dtype(dtype)).reshape(shape)


def _flax_leaves(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if not isinstance(tree, Mapping):
        if tree is not None:
            yield path, tree
    elif "__msgpack_chunked_array__" in tree:
        chunks, shape = tree["chunks"], tree["shape"]
        flat = np.concatenate([chunks[str(i)] for i in range(len(chunks))])
        yield path, flat.reshape([shape[str(i)] for i in range(len(shape))])
    else:
        for key, value in tree.items():
            yield from _flax_leaves(value, (*path, str(key)))
