"""State: a nested mapping from paths to Variables (or arrays), a pytree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import jax

from nnxtrain.nnx.filters import split_by
from nnxtrain.nnx.variables import Variable

Path = tuple[Any, ...]


class State(MutableMapping):
    """The values of a graph by path: ``state["linear"]["kernel"]``, or ``state.linear.kernel``.

    A pytree whose leaves are the Variables' arrays; keys are in sorted order there.

    >>> import jax, jax.numpy as jnp
    >>> from nnxtrain import nnx
    >>> state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)
    >>> jax.tree.map(jnp.shape, state).to_pure_dict()
    {'bias': (3,), 'kernel': (2, 3)}
    """

    __slots__ = ("_mapping",)

    def __init__(self, mapping: Mapping | Iterable[tuple[Any, Any]], *, _copy: bool = True):
        object.__setattr__(self, "_mapping", dict(mapping) if _copy else mapping)

    @property
    def raw_mapping(self) -> dict:
        return self._mapping

    def __getitem__(self, key: Any) -> Any:
        value = self._mapping[key]
        return State(value, _copy=False) if type(value) is dict else value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._mapping[key] = value._mapping if isinstance(value, State) else value

    def __delitem__(self, key: Any) -> None:
        del self._mapping[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"the state has no key {name!r}; it has {list(map(str, self._mapping))}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __repr__(self) -> str:
        return f"State({self._mapping!r})"

    def __or__(self, other: State) -> State:
        return State.merge(self, other)

    def __sub__(self, other: State) -> State:
        drop = dict(to_flat_state(other))
        return from_flat_state([(p, v) for p, v in to_flat_state(self) if p not in drop])

    def __reduce__(self) -> Any:
        return State, (self._mapping,)

    def map(self, f: Callable[[Path, Any], Any]) -> State:
        """Return the state with ``f(path, leaf)`` for each leaf."""
        return from_flat_state([(path, f(path, value)) for path, value in to_flat_state(self)])

    def flat_state(self) -> list[tuple[Path, Any]]:
        return to_flat_state(self)

    @classmethod
    def from_flat_path(cls, flat_state: Mapping[Path, Any] | Iterable[tuple[Path, Any]]) -> State:
        return from_flat_state(flat_state, cls=cls)

    def to_pure_dict(self, extract_fn: Callable[[Any], Any] | None = None) -> dict:
        """Return nested plain dicts with the Variables' values."""
        return to_pure_dict(self, extract_fn)

    def replace_by_pure_dict(
        self, pure_dict: Mapping, replace_fn: Callable[[Any, Any], Any] | None = None
    ) -> None:
        """Put the values of nested plain dicts into this state's Variables. Raises a ValueError for unknown paths."""
        replace_by_pure_dict(self, pure_dict, replace_fn)

    def split(self, first: Any, /, *filters: Any) -> Any:
        """Split into one state for each filter; every leaf must be taken."""
        return split_state(self, first, *filters)

    def filter(self, first: Any, /, *filters: Any) -> Any:
        """Like :meth:`split`, and leaves that no filter takes are left out."""
        return filter_state(self, first, *filters)

    @staticmethod
    def merge(state: State, /, *states: State) -> State:
        """Merge states with different paths; a later one wins where they meet."""
        return merge_state(state, *states)


def _flatten_with_keys(state: State) -> tuple[list[tuple[Any, Any]], tuple]:
    keys = sorted(
        state._mapping,
        key=lambda k: (not isinstance(k, int), str(k) if not isinstance(k, int) else k),
    )
    return [(jax.tree_util.DictKey(k), state[k]) for k in keys], tuple(keys)


def _flatten(state: State) -> tuple[list[Any], tuple]:
    children, keys = _flatten_with_keys(state)
    return [child for _, child in children], keys


def _unflatten(keys: tuple, children: Iterable[Any]) -> State:
    return State(
        {k: c._mapping if isinstance(c, State) else c for k, c in zip(keys, children)}, _copy=False
    )


jax.tree_util.register_pytree_with_keys(State, _flatten_with_keys, _unflatten, _flatten)


def to_flat_state(state: Mapping | Variable) -> list[tuple[Path, Any]]:
    """List ``(path, leaf)`` in the order of the paths' insertion. A Variable is a leaf with the path ()."""
    if isinstance(state, Variable):
        return [((), state)]
    flat: list[tuple[Path, Any]] = []

    def visit(mapping: Mapping, path: Path) -> None:
        for key, value in mapping.items():
            if isinstance(value, dict | State):
                visit(value, (*path, key))
            else:
                flat.append(((*path, key), value))

    visit(state._mapping if isinstance(state, State) else state, ())
    return flat


def from_flat_state(
    flat_state: Mapping[Path, Any] | Iterable[tuple[Path, Any]], *, cls: type = State
) -> Any:
    """Make a nested state of ``(path, leaf)`` pairs. Raises a ValueError where one path is the start of another."""
    nested: dict = {}
    for path, value in flat_state.items() if isinstance(flat_state, Mapping) else flat_state:
        if path == ():
            return value  # a graph that is one Variable has it for its state
        inner = nested
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{'.'.join(map(str, path))} goes through a leaf")
        if isinstance(inner.get(path[-1]), dict):
            raise ValueError(f"{'.'.join(map(str, path))} is a leaf and a node")
        inner[path[-1]] = value
    return cls(nested)


def to_pure_dict(state: Mapping, extract_fn: Callable[[Any], Any] | None = None) -> dict:
    """Nested plain dicts with the Variables' values (or ``extract_fn(leaf)``)."""
    extract = extract_fn or (lambda leaf: leaf.raw_value if isinstance(leaf, Variable) else leaf)
    return {
        k: to_pure_dict(v, extract_fn) if isinstance(v, dict | State) else extract(v)
        for k, v in (state._mapping if isinstance(state, State) else state).items()
    }


def replace_by_pure_dict(
    state: State, pure_dict: Mapping, replace_fn: Callable[[Any, Any], Any] | None = None
) -> None:
    """Put the leaves of ``pure_dict`` into the leaves of ``state`` at the same paths, in place."""
    replace = replace_fn or (
        lambda leaf, value: leaf.replace(value) if isinstance(leaf, Variable) else value
    )
    held = dict(to_flat_state(state))
    for path, value in to_flat_state(pure_dict):
        if path not in held:
            raise ValueError(f"the state has no leaf at {'.'.join(map(str, path))}")
        inner: Any = state._mapping
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = replace(held[path], value)


def restore_int_paths(pure_dict: Mapping) -> dict:
    """Turn keys that are numerals back into ints (text formats make strings of them)."""

    def key(k: Any) -> Any:
        return int(k) if isinstance(k, str) and k.lstrip("-").isdigit() else k

    return {
        key(k): restore_int_paths(v) if isinstance(v, Mapping) else v for k, v in pure_dict.items()
    }


def filter_state(state: State, first: Any, /, *filters: Any) -> Any:
    """One state for each filter; leaves that none takes are left out. A single filter gives a single state."""
    groups = split_by(to_flat_state(state), (first, *filters), exhaustive=False)
    states = tuple(from_flat_state(g, cls=type(state)) for g in groups)
    return states if filters else states[0]


def split_state(state: State, first: Any, /, *filters: Any) -> Any:
    """One state for each filter; raises a ValueError for a leaf that none takes."""
    groups = split_by(to_flat_state(state), (first, *filters), exhaustive=True)
    states = tuple(from_flat_state(g, cls=type(state)) for g in groups)
    return states if filters else states[0]


def merge_state(state: State, /, *states: State, cls: type = State) -> State:
    """One state with the leaves of all; a later one wins where paths meet."""
    flat = dict(to_flat_state(state))
    for other in states:
        flat.update(to_flat_state(other))
    return from_flat_state(flat, cls=cls)


def map_state(f: Callable[[Path, Any], Any], state: State) -> State:
    """``state.map(f)``."""
    return state.map(f)
