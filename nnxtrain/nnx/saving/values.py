"""One value: its kind (dtype and shape), its form in a file, and its way back to where it was.

A typed PRNG key is saved as its uint32 data, and its dtype says the implementation: ``key<threefry2x32>``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SCALARS = (bool, int, float, complex, str, bytes)


@dataclass(frozen=True)
class Spec:
    """The kind of a value: a dtype name with a shape, or a Python type's name with None.

    >>> print(Spec("float32", (2, 3)), Spec("float32", ()), Spec("int", None))
    float32[2,3] float32[] int
    """

    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        return (
            self.dtype if self.shape is None else f"{self.dtype}[{','.join(map(str, self.shape))}]"
        )


def is_key(value: Any) -> bool:
    """True for typed PRNG keys, abstract ones included."""
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def spec_of(name: str, value: Any) -> Spec:
    """Return the kind of a value. Raises a TypeError, with its name, for what no format can hold."""
    if isinstance(value, SCALARS) and not isinstance(value, np.generic):
        kind = next(kind for kind in SCALARS if isinstance(value, kind))
        return Spec(kind.__name__, None)
    if is_key(value):
        return Spec(f"key<{_key_impl(value)}>", tuple(value.shape))
    if isinstance(value, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct):
        dtype = np.dtype(value.dtype)
        if dtype.name in _NATIVE or jnp.issubdtype(dtype, np.number):
            return Spec(dtype.name, tuple(value.shape))
        raise TypeError(f"{name} is an array of {dtype}, which cannot be saved")
    raise TypeError(
        f"{name or 'the value'} is a {type(value).__name__}, which cannot be saved: only arrays, numbers, strings and "
        "bytes can. Make it a static field, or leave it out"
    )


_NATIVE = ("bool",)


def _key_impl(key: Any) -> str:
    if not isinstance(key, jax.ShapeDtypeStruct):
        return str(jax.random.key_impl(key))
    names: list[str] = []
    jax.eval_shape(lambda k: names.append(str(jax.random.key_impl(k))), key)
    return names[0]


def fits(saved: Spec, wanted: Spec) -> bool:
    """True where a saved value can be put in the place of a wanted one, without any loss.

    Python numbers stand for each other, and for a number without axes of the same or a wider kind.

    >>> fits(Spec("int", None), Spec("float32", ())), fits(Spec("float32", ()), Spec("int32", ()))
    (True, False)
    """
    if saved == wanted:
        return True
    if (saved.shape or wanted.shape) or (saved.shape == wanted.shape == ()):
        return False
    ranks = _rank(saved.dtype), _rank(wanted.dtype)
    return None not in ranks and (wanted.shape is None or ranks[0] <= ranks[1])  # type: ignore[operator]


def _rank(dtype: str) -> int | None:
    if dtype in ("str", "bytes") or dtype.startswith("key<"):
        return None
    kinds = (np.bool_, np.integer, np.floating, np.complexfloating)
    return next((i for i, k in enumerate(kinds) if jnp.issubdtype(jnp.dtype(dtype), k)), None)


def to_host(name: str, value: Any) -> np.ndarray:
    """Return an array (of a key: its data) as a contiguous little-endian NumPy array.

    Raises a ValueError, with its name, for an array of which this process holds only a part.
    """
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{name} is abstract (its values were never computed), so it cannot be saved"
        )
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        raise ValueError(f"{name} is spread over several processes; save it with nnx.save")
    array = np.asarray(jax.random.key_data(value) if is_key(value) else value)
    if array.dtype.byteorder == ">" and array.dtype.isbuiltin != 2:
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(array.shape)


def encode_scalar(value: Any) -> Any:
    """Return a Python scalar in the types that both JSON and msgpack have (:func:`decode_scalar` is the way back)."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else {"int": str(int(value))}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return float(value)


def decode_scalar(code: Any) -> Any:
    """Return the Python scalar of :func:`encode_scalar`.

    >>> decode_scalar(encode_scalar(2 + 1j)), decode_scalar(encode_scalar(b"ab")), decode_scalar(encode_scalar(2**70))
    ((2+1j), b'ab', 1180591620717411303424)
    """
    if not isinstance(code, dict):
        return code
    ((kind, content),) = code.items()
    if kind == "complex":
        return complex(*content)
    return int(content) if kind == "int" else base64.b64decode(content)


def put_back(value: Any, like: Any) -> Any:
    """Turn a saved value (a host array, a key's data, a scalar) into what ``like`` is, on the devices of ``like``."""
    if isinstance(like, SCALARS) and not isinstance(like, np.generic):
        return value.item() if isinstance(value, np.ndarray) else value
    if isinstance(like, np.ndarray | np.generic):
        array = np.array(value, dtype=like.dtype)
        return array[()] if isinstance(like, np.generic) else array
    if isinstance(like, jax.ShapeDtypeStruct) and isinstance(value, str | bytes):
        return value
    sharding = sharding_of(like)
    if is_key(like):
        key = jax.random.wrap_key_data(jnp.array(value), impl=_key_impl(like))
        return key if sharding is None else jax.device_put(key, sharding)
    if isinstance(value, jax.Array):
        return value
    if sharding is None:
        return jnp.array(value, dtype=like.dtype)
    # A copy: on the CPU device_put may take the memory as it is, which is a mapped file's or somebody's bytes.
    return jax.device_put(np.array(value, dtype=like.dtype), sharding)


def zeros_like(like: Any) -> Any:
    """What ``like`` is, with zeros, on its devices."""
    return put_back(np.zeros(like.shape, like.dtype), like)


def sharding_of(like: Any) -> jax.sharding.Sharding | None:
    """Where a value has to be; None where it need be on no device in particular."""
    sharding = getattr(like, "sharding", None)
    if isinstance(like, jax.Array) and not like.committed:
        return None
    if isinstance(sharding, jax.sharding.NamedSharding) and isinstance(
        sharding.mesh, jax.sharding.AbstractMesh
    ):
        mesh = jax.sharding.get_mesh()
        return None if mesh.empty else jax.sharding.NamedSharding(mesh, sharding.spec)
    return sharding
