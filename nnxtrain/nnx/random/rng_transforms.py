"""Forking, splitting and reseeding all random streams of a model or of a function's arguments.

Streams that are split, to be mapped over, or forked, for a while, come back with counts that moved on: no key comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp

from nnxtrain.nnx.graph.filters import to_predicate
from nnxtrain.nnx.graph.graphdef import Path
from nnxtrain.nnx.graph.structure import iter_graph
from nnxtrain.nnx.graph.traverse import recursive_map
from nnxtrain.nnx.random.rngs import Rngs, RngStream, Shape
from nnxtrain.nnx.variable.missing import MISSING, MissingType

Backup = tuple[RngStream, jax.Array, jax.Array]


class StreamBackups:
    """The streams that were changed with their former keys and counts. As a context manager it restores them."""

    def __init__(self, backups: list[Backup]):
        self.backups = backups

    def __iter__(self) -> Iterator[Backup]:
        return iter(self.backups)

    def __enter__(self) -> StreamBackups:
        return self

    def __exit__(self, *error: Any) -> None:
        restore_rngs(self)


def restore_rngs(backups: Iterable[tuple], /) -> None:
    """Give the streams back the keys and counts that :func:`split_rngs` or :func:`fork_rngs` kept.

    >>> from nnxtrain import nnx
    >>> rngs = nnx.Rngs(0)
    >>> backups = nnx.split_rngs(rngs, splits=3)
    >>> nnx.restore_rngs(backups)
    >>> rngs.default.key.shape
    ()
    """
    for stream, key, *count in backups:
        stream.key.set_value(key)
        for value in count:
            stream.count.set_value(value)


def split_rngs(
    node: Any = MISSING,
    /,
    *,
    splits: Shape,
    only: Any = ...,
    squeeze: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Split the streams of a graph, so that ``nnx.vmap`` or ``nnx.scan`` can map over them.

    Args:
      node: what holds the streams. Without it, a decorator that splits those of a function's arguments during the call.
      splits: how many keys each stream gets, or their shape.
      only: a filter for the streams' Variables: a name, say.
      squeeze: with ``splits=1``: take that one key without its axis.
      graph: False makes shared references an error.
      graph_updates: False: change nothing, and return a copy with split streams.

    Returns:
      what :func:`restore_rngs` takes; as a context manager it restores by itself.

    Raises:
      ValueError: ``squeeze`` with other splits than 1, or a stream that is split already.

    >>> from nnxtrain import nnx
    >>> rngs = nnx.Rngs(params=0, dropout=1)
    >>> with nnx.split_rngs(rngs, splits=5, only="params"):
    ...     rngs.params.key.shape, rngs.dropout.key.shape
    ((5,), ())
    >>> rngs.params.key.shape
    ()
    """
    if squeeze and splits != 1:
        raise ValueError(f"split_rngs: squeeze=True is for splits=1, not for {splits}")

    def change(path: Path, stream: RngStream) -> RngStream | None:
        if not _selects(to_predicate(only), path, stream):
            return None
        if not squeeze:
            return stream.split(splits)
        return type(stream)(jax.random.split(stream(), 1)[0], tag=stream.tag)

    return _apply(change, node, graph, graph_updates)


def fork_rngs(
    node: Any = MISSING,
    /,
    *,
    split: Any = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Fork the streams of a graph: they start anew from keys of their own.

    Args:
      node: what holds the streams. Without it, a decorator that forks those of a function's arguments during the call.
      split: a number, or a mapping from filters to numbers: how many keys a stream gets (None: one).
      graph: False makes shared references an error.
      graph_updates: False: change nothing, and return a copy with forked streams.

    Returns:
      what :func:`restore_rngs` takes; as a context manager it restores by itself.

    >>> from nnxtrain import nnx
    >>> rngs = nnx.Rngs(0)
    >>> with nnx.fork_rngs(rngs):
    ...     key = rngs()
    >>> int(rngs.default.count.value)  # the fork took one
    1
    """

    def change(path: Path, stream: RngStream) -> RngStream | None:
        if isinstance(split, Mapping):
            for filter, number in split.items():
                if _selects(to_predicate(filter), path, stream):
                    return stream.fork(split=number)
            return None
        return stream.fork(split=split)

    return _apply(change, node, graph, graph_updates)


def with_rngs(
    node: Any = MISSING,
    /,
    *,
    split: Any = None,
    fork: Any = None,
    broadcast: Any = None,
    only: Any = True,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Return a copy of a graph with some of its streams split, broadcast or forked; the others are shared with it.

    Args:
      node: what holds the streams. Without it, a decorator that does so with a function's arguments.
      split: a number or shape for all streams, or a mapping from filters to them; the first filter that fits counts.
      fork: a filter, or a sequence of them: which streams, of those that are not split or broadcast.
      broadcast: as ``split``, for streams whose one key shall stand there several times.
      only: a filter: which streams to look at.
      graph: False makes shared references an error.
      graph_updates: True is an error: use :func:`split_rngs` or :func:`fork_rngs`.

    Raises:
      ValueError: two of the rules name one stream (beside ``...``).

    >>> from nnxtrain import nnx
    >>> rngs = nnx.Rngs(params=0, dropout=1)
    >>> copied = nnx.with_rngs(rngs, split={"params": 4}, fork="dropout")
    >>> copied.params.key.shape, copied.dropout.key.shape
    ((4,), ())
    """
    if graph_updates:
        raise ValueError(
            "with_rngs returns a copy; use split_rngs or fork_rngs to change the streams"
        )
    single = isinstance(fork, str) or not isinstance(fork, Sequence)
    forks: Any = {} if fork is None else dict.fromkeys([fork] if single else fork, ())
    rules = {"split": _by_filter(split), "broadcast": _by_filter(broadcast), "fork": forks}
    derive = {
        "split": RngStream.split,
        "broadcast": RngStream.broadcast,
        "fork": lambda s, _: s.fork(),
    }
    looked_at = to_predicate(only)

    def change(path: Path, stream: RngStream) -> RngStream | None:
        if not looked_at(path, stream):
            return None
        found = {}
        for name, rule in rules.items():
            for filter in rule:
                if to_predicate(filter)(path, stream):
                    found[name] = filter
                    break
        named = [name for name, filter in found.items() if filter is not ... and filter is not True]
        if len(named) > 1:
            raise ValueError(
                f"with_rngs: {' and '.join(named)} both name the stream {'.'.join(map(str, path)) or stream.tag!r}"
            )
        return next((derive[name](stream, rules[name][f]) for name, f in found.items()), None)

    return _apply(change, node, graph, False)


def reseed(
    node: Any,
    /,
    *,
    graph: bool | None = None,
    policy: str | Callable[[Path, jax.Array, tuple[int, ...]], jax.Array] = "scalars_only",
    **stream_keys: Any,
) -> None:
    """Give streams new keys, in place, and set their counts to 0. Each stream of a name gets a key of its own.

    Args:
      node: what holds the streams.
      graph: False makes shared references an error.
      policy: what to do with streams that are split: ``"scalars_only"`` raises, ``"match_shape"`` splits the new key;
        or a function ``(path, key, shape) -> keys``.
      **stream_keys: seeds or keys by the streams' names.

    Raises:
      ValueError: a stream is split, or the policy is unknown.

    >>> import jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=42))
    >>> first = dropout(jnp.ones(8))
    >>> nnx.reseed(dropout, dropout=42)
    >>> bool((dropout(jnp.ones(8)) == first).all())
    True
    """
    policies = {"scalars_only": _scalars_only, "match_shape": _match_shape}
    make = policy if callable(policy) else policies.get(policy)
    if make is None:
        raise ValueError(
            f'policy is "scalars_only", "match_shape" or a function; it got {policy!r}'
        )
    rngs = Rngs(**stream_keys)
    for path, stream in _streams(node, graph):
        if stream.tag in stream_keys:
            key = make(path, rngs[stream.tag](), stream.key.shape)
            stream.key.set_value(key)
            stream.count.set_value(jnp.zeros(key.shape, jnp.uint32))


def _scalars_only(path: Path, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if shape:
        raise ValueError(
            f"the stream {'.'.join(map(str, path))} is split into {list(shape)}; reseed it with "
            'policy="match_shape", which splits the new key'
        )
    return key


def _match_shape(path: Path, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.split(key, shape) if shape else key


def _by_filter(rule: Any) -> Mapping[Any, Any]:
    return {} if rule is None else rule if isinstance(rule, Mapping) else {...: rule}


def _selects(predicate: Callable, path: Path, stream: RngStream) -> bool:
    return predicate((*path, "key"), stream.key) and predicate((*path, "count"), stream.count)


def _streams(node: Any, graph: bool | None) -> list[tuple[Path, RngStream]]:
    below = iter_graph(node, graph=graph)
    return [(path, value) for path, value in below if isinstance(value, RngStream)]


def _apply(
    change: Callable[[Path, RngStream], RngStream | None],
    node: Any,
    graph: bool | None,
    graph_updates: bool | None,
) -> Any:
    """Change the streams of a graph; or of a copy; or return a decorator that does so for a function's arguments."""
    if isinstance(node, MissingType):
        return lambda f: _decorated(change, f, graph, graph_updates)
    if graph_updates is False:

        def replace(path: Path, value: Any) -> Any:
            changed = change(path, value) if isinstance(value, RngStream) else None
            return value if changed is None else changed

        return recursive_map(replace, node, graph=graph)
    changes = [(stream, change(path, stream)) for path, stream in _streams(node, graph)]
    backups: list[Backup] = []
    for stream, changed in changes:
        if changed is not None:
            backups.append((stream, stream.key.get_value(), stream.count.get_value()))
            stream.key.set_value(changed.key.get_value())
            stream.count.set_value(changed.count.get_value())
    return StreamBackups(backups)


def _decorated(
    change: Callable, f: Callable, graph: bool | None, graph_updates: bool | None
) -> Callable:
    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if graph_updates is False:
            args, kwargs = _apply(change, (args, kwargs), graph, False)
            return f(*args, **kwargs)
        with _apply(change, (args, kwargs), graph, None):
            return f(*args, **kwargs)

    return wrapper
