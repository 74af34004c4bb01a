"""Random number streams. A stream is a key and a count; each call folds the count into the key and adds one to it.

So what travels out of a compiled function is a count, never a key, and a checkpoint restores every stream exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.module.module import Object
from nnxtrain.nnx.random import initializers, keys
from nnxtrain.nnx.variable.variable import RngCount, RngKey, Variable

Shape = int | tuple[int, ...]

_RANDOM = [
    "bits", "uniform", "randint", "permutation", "choice", "normal", "multivariate_normal", "truncated_normal",
    "bernoulli", "beta", "cauchy", "dirichlet", "exponential", "gamma", "loggamma", "poisson", "gumbel",
    "categorical", "laplace", "logistic", "pareto", "t", "chisquare", "f", "rademacher", "maxwell",
    "double_sided_maxwell", "weibull_min", "orthogonal", "generalized_normal", "ball", "rayleigh", "wald",
    "geometric", "triangular", "lognormal", "binomial", "multinomial",
]  # fmt: skip
_INITIALIZERS = [
    "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "kaiming_normal",
    "kaiming_uniform", "lecun_normal", "lecun_uniform", "variance_scaling", "xavier_normal", "xavier_uniform",
]  # fmt: skip


class _Draws:
    """The functions of ``jax.random`` and the initialisers as methods that take their key from the stream.

    ``rngs.normal((2, 3))`` is an array; ``rngs.lecun_normal()`` is a function ``(shape, dtype) -> array``.
    """

    def __call__(self) -> Any:
        raise NotImplementedError

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _drawing(function: Callable) -> Callable:
    @wraps(function)  # so the signature is that of the function, with self in the place of its key
    def draw(self: _Draws, *args: Any, **kwargs: Any) -> Any:
        return function(self(), *args, **kwargs)

    return draw


def _initializing(make: Callable) -> Callable:
    def initializer(self: _Draws, *args: Any, **kwargs: Any) -> Callable:
        return partial(_initialize, make(*args, **kwargs), self)

    initializer.__name__, initializer.__doc__ = make.__name__, make.__doc__
    return initializer


def _initialize(initializer: Any, stream: Any, *args: Any, **kwargs: Any) -> Any:
    return initializer(stream(), *args, **kwargs)


for _name in _RANDOM:
    setattr(_Draws, _name, _drawing(getattr(jax.random, _name)))
for _name in _INITIALIZERS:
    setattr(_Draws, _name, _initializing(getattr(initializers, _name)))


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
        self.count = RngCount(initializers.zeros(key, key.shape, jnp.uint32), tag=tag)

    def __call__(self) -> jax.Array:
        """Return a fresh key. Raises a ValueError on a stream that was split and is not mapped over."""
        count = self.count.value
        if count.shape:
            raise ValueError(
                f"the random stream {self.tag!r} was split into {list(count.shape)}: map over it (with in_axes=0) to use it"
            )
        key, self.count.value = keys.next_key(self.key.value, count)
        return key

    def fork(self, *, split: Shape | None = None) -> RngStream:
        """Return a stream of its own; with ``split`` a stream of that many keys (for vmap)."""
        key = self()
        return type(self)(key if split is None else jax.random.split(key, split), tag=self.tag)

    def split(self, k: Shape) -> RngStream:
        """The same as ``fork(split=k)``."""
        return self.fork(split=k)

    def broadcast(self, k: Shape) -> RngStream:
        """Return a stream of its own whose one key stands there ``k`` times: mapped over, all get the same numbers."""
        key = self()
        shape = (k,) if isinstance(k, int) else tuple(k)
        return type(self)(jnp.broadcast_to(key, shape + key.shape), tag=self.tag)


class Rngs(Object, Mapping, _Draws):
    """Named random number streams: ``rngs.params()`` gives a key, ``rngs.dropout()`` one of another stream.

    Args:
      default: the key or seed of the stream that stands in for every name that was not given; or a mapping of all.
      **rngs: keys or seeds by name; or streams, of which a fresh key is taken. Where two names have the same seed,
        the later one's name is folded into its key.

    No key comes twice from an Rngs, its streams, and what they fork, split and broadcast.

    >>> rngs = Rngs(0, dropout=1)
    >>> sorted(rngs), rngs.params.normal((2,)).shape
    (['default', 'dropout'], (2,))
    """

    def __init__(self, default: Any = None, **rngs: Any):
        if isinstance(default, Mapping):
            rngs = {**default, **rngs}
        elif default is not None:
            rngs = {"default": default, **rngs}
        keys: list[Any] = []
        for name, given in rngs.items():
            key = given() if isinstance(given, RngStream) else _as_key(given)
            setattr(self, name, RngStream(_apart(key, keys, name), tag=name))
            keys.append(key)

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
        return (name for name, value in self.__dict__.items() if isinstance(value, RngStream))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def fork(self, *, split: Any = None) -> Rngs:
        """Return Rngs with a stream of its own for each name.

        Args:
          split: how many keys each stream gets (for vmap): a number, a shape, or a mapping from filters (names, ``...``)
            to them. None and what no filter takes: one.

        >>> rngs = Rngs(params=0, dropout=1).fork(split={"params": 4, ...: None})
        >>> rngs.params.key.shape, rngs.dropout.key.shape
        ((4,), ())
        """
        return self._derive(split, RngStream.split)

    def split(self, k: Any) -> Rngs:
        """The same as ``fork(split=k)``."""
        return self._derive(k, RngStream.split)

    def broadcast(self, k: Any) -> Rngs:
        """Return Rngs of streams that each hold one key ``k`` times; ``k`` as the ``split`` of :meth:`fork`."""
        return self._derive(k, RngStream.broadcast)

    def _derive(self, rule: Any, derive: Callable[[RngStream, Any], RngStream]) -> Rngs:
        derived = type(self)()
        for name, stream in self.items():
            number = choose(rule, (name,), stream)
            setattr(derived, name, stream.fork() if number is None else derive(stream, number))
        return derived


def choose(rule: Any, path: tuple, stream: RngStream) -> Any:
    """What a mapping from filters says about a stream (None if nothing); anything else holds for all streams."""
    if not isinstance(rule, Mapping):
        return rule
    return next((v for filter, v in rule.items() if to_predicate(filter)(path, stream)), None)


def _as_key(key: Any) -> Any:
    if isinstance(key, Variable):
        key = key.value
    if isinstance(key, int):
        return keys.from_seed(key)
    if hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jnp.integer) and not jnp.shape(key):
        return jax.random.key(key)
    if hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if hasattr(key, "dtype") and key.dtype == jnp.uint32:
        return jax.random.wrap_key_data(key)
    raise TypeError(f"a random stream starts from an int seed or a jax.random key; it got {key!r}")


def _apart(key: Any, others: list[Any], name: str) -> Any:
    """The key; with the name folded in where it equals another (found at run time, if they are traced)."""
    data = jax.random.key_data(key)
    repeated: Any = False
    for other in others:
        if other.shape == key.shape and other.dtype == key.dtype:
            other_data = jax.random.key_data(other)
            traced = isinstance(data, jax.core.Tracer) or isinstance(other_data, jax.core.Tracer)
            compare = jnp.array_equal if traced else np.array_equal  # compiles nothing
            repeated |= compare(other_data, data)
    if repeated is False:
        return key
    if not isinstance(repeated, jax.core.Tracer) and not repeated:
        return key
    fold = jnp.vectorize(lambda key: jax.random.fold_in(key, zlib.crc32(name.encode())))
    return jnp.where(repeated, fold(key), key)
