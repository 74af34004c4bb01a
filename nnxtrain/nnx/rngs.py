"""Random number streams. A stream is a key and a count; each call folds the count into the key and adds one to it.

So what travels out of a compiled function is a count, never a key, and a checkpoint restores every stream exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.module import Object
from nnxtrain.nnx.variables import RngCount, RngKey, Variable


class _Draws:
    """The functions of ``jax.random`` and the initialisers as methods that take their key from the stream.

    ``rngs.normal((2, 3))`` is an array; ``rngs.lecun_normal()`` is a function ``(shape, dtype) -> array``.
    """

    def __call__(self) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in _RANDOM:
            function = getattr(jax.random, name)
            return lambda *args, **kwargs: function(self(), *args, **kwargs)
        if name in _INITIALIZERS:
            make = getattr(jax.nn.initializers, name)
            return lambda *args, **kwargs: partial(_initialize, make(*args, **kwargs), self)
        raise AttributeError(f"{type(self).__name__} has no stream or random function {name!r}")


def _initialize(initializer: Any, stream: Any, *args: Any, **kwargs: Any) -> Any:
    return initializer(stream(), *args, **kwargs)


_RANDOM = frozenset([
    "bits", "uniform", "randint", "permutation", "choice", "normal", "multivariate_normal", "truncated_normal",
    "bernoulli", "beta", "cauchy", "dirichlet", "exponential", "gamma", "loggamma", "poisson", "gumbel",
    "categorical", "laplace", "logistic", "pareto", "t", "chisquare", "f", "rademacher", "maxwell",
    "double_sided_maxwell", "weibull_min", "orthogonal", "generalized_normal", "ball", "rayleigh", "wald",
    "geometric", "triangular", "lognormal", "binomial", "multinomial",
])  # fmt: skip
_INITIALIZERS = frozenset([
    "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "kaiming_normal",
    "kaiming_uniform", "lecun_normal", "lecun_uniform", "variance_scaling", "xavier_normal", "xavier_uniform",
])  # fmt: skip


class RngStream(Object, _Draws):
    """One stream of keys.

    Args:
      key: a typed key (``jax.random.key``), a raw key (uint32[2]) or an int seed.
      tag: the stream's name, kept as the metadata ``tag`` of its Variables.

    With an array of keys it is that many streams in one, to be mapped over (``jax.vmap``) before it is called.
    """

    def __init__(self, key: Any, *, tag: str):
        self.tag = tag
        key = _as_key(key)
        self.key = RngKey(key, tag=tag)
        self.count = RngCount(jnp.zeros(key.shape, jnp.uint32), tag=tag)

    def __call__(self) -> jax.Array:
        """Return a fresh key. Raises a ValueError on a stream that was split and is not mapped over."""
        count = self.count.value
        if count.shape:
            raise ValueError(
                f"the random stream {self.tag!r} was split into {list(count.shape)}: map over it (with in_axes=0) to use it"
            )
        self.count.value = count + 1
        return jax.random.fold_in(self.key.value, count)

    def fork(self, *, split: int | tuple[int, ...] | None = None) -> RngStream:
        """Return a stream of its own; with ``split`` a stream of that many keys (for vmap)."""
        key = self()
        return RngStream(key if split is None else jax.random.split(key, split), tag=self.tag)

    def split(self, k: int | tuple[int, ...]) -> RngStream:
        """The same as ``fork(split=k)``."""
        return self.fork(split=k)


class Rngs(Object, Mapping, _Draws):
    """Named random number streams: ``rngs.params()`` gives a key, ``rngs.dropout()`` one of another stream.

    Args:
      default: the key or seed of the stream that stands in for every name that was not given.
      **rngs: keys or seeds by name. Streams of equal seeds are made different by their names.

    >>> rngs = Rngs(0, dropout=1)
    >>> sorted(rngs), rngs.params.normal((2,)).shape
    (['default', 'dropout'], (2,))
    """

    def __init__(self, default: Any = None, **rngs: Any):
        if isinstance(default, Mapping):
            rngs = {**default, **rngs}
        elif default is not None:
            rngs = {"default": default, **rngs}
        given: list[Any] = []
        for name, key in rngs.items():
            if isinstance(key, RngStream):
                key = key.key.value
            key = key.value if isinstance(key, Variable) else key
            repeated = any(_same_seed(key, other) for other in given)
            given.append(key)
            key = _as_key(key)
            if repeated:  # one seed for two names must not give the same keys twice
                key = jax.random.fold_in(key, zlib.crc32(name.encode()))
            setattr(self, name, RngStream(key, tag=name))

    def _stream(self, name: str) -> RngStream:
        streams = self.__dict__
        if name in streams:
            return streams[name]
        if "default" in streams:
            return streams["default"]
        raise AttributeError(
            f"there is no random stream {name!r} (there are: {', '.join(streams) or 'none'}); "
            f"make them with nnx.Rngs({name}=0), or nnx.Rngs(0) for a default"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _RANDOM or name in _INITIALIZERS:
            return getattr(self._stream("default"), name)
        return self._stream(name)

    def __getitem__(self, name: str) -> RngStream:
        try:
            return self._stream(name)
        except AttributeError as error:
            raise KeyError(str(error)) from None

    def __call__(self) -> jax.Array:
        """Return a fresh key of the default stream."""
        return self._stream("default")()

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def fork(self, *, split: Any = None) -> Rngs:
        """Return Rngs with a stream of its own for each name; ``split``: a number, or numbers by name, as in RngStream."""
        forked = Rngs()
        for name, stream in self.items():
            number = split.get(name) if isinstance(split, Mapping) else split
            setattr(forked, name, stream.fork(split=number))
        return forked

    def split(self, k: Any) -> Rngs:
        """The same as ``fork(split=k)``."""
        return self.fork(split=k)


def _as_key(key: Any) -> Any:
    if isinstance(key, Variable):
        key = key.value
    if isinstance(key, int) or (
        hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jnp.integer) and not jnp.shape(key)
    ):
        return jax.random.key(key)
    if hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if hasattr(key, "dtype") and key.dtype == jnp.uint32:
        return jax.random.wrap_key_data(key)
    raise TypeError(f"a random stream starts from an int seed or a jax.random key; it got {key!r}")


def _same_seed(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return False
    key_a, key_b = jax.random.key_data(_as_key(a)), jax.random.key_data(_as_key(b))
    return key_a.shape == key_b.shape and bool((key_a == key_b).all())
