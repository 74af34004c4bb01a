"""State: a nested mapping from paths to Variables (or arrays), a pytree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import jax

from nnxtrain.nnx.graph.filters import split_by
from nnxtrain.nnx.variable.variable import Variable

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

    def __init__(self, mapping: Mapping | Iterable[tuple[Any, Any]], /, *, _copy: bool = True):
        if not _copy and not isinstance(mapping, dict):
            raise ValueError(
                f"_copy=False takes a dict as it is; it got a {type(mapping).__name__}"
            )
        object.__setattr__(self, "_mapping", dict(mapping) if _copy else mapping)

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        _register(cls)

    @property
    def raw_mapping(self) -> dict:
        """The nested dicts themselves."""
        return self._mapping

    def __getitem__(self, key: Any) -> Any:
        value = self._mapping[key]
        return type(self)(value, _copy=False) if type(value) is dict else value

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

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        from nnxtrain.nnx.inspection.notebook import render

        return render(self, path, subtree_renderer)

    def __repr__(self) -> str:
        return f"State({self._mapping!r})"

    def __or__(self, other: State) -> State:
        return type(self).merge(self, other)

    def __sub__(self, other: State) -> State:
        drop = dict(to_flat_state(other))
        left = [(p, v) for p, v in to_flat_state(self) if p not in drop]
        return from_flat_state(left, cls=type(self))

    def __reduce__(self) -> Any:
        return type(self), (self._mapping,)

    def map(self, f: Callable[[Path, Any], Any]) -> State:
        """Return the state with ``f(path, leaf)`` for each leaf."""
        return map_state(f, self)

    def flat_state(self) -> list[tuple[Path, Any]]:
        """List ``(path, leaf)``."""
        return to_flat_state(self)

    @classmethod
    def from_flat_path(
        cls, flat_state: Mapping[Path, Any] | Iterable[tuple[Path, Any]], /
    ) -> State:
        """Make a state of ``(path, leaf)`` pairs."""
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

    @classmethod
    def merge(cls, state: Mapping, /, *states: Mapping) -> State:
        """Merge states with different paths; a later one wins where they meet."""
        return merge_state(state, *states, cls=cls)


def _flatten_with_keys(state: State) -> tuple[list[tuple[Any, Any]], tuple]:
    keys = sorted(
        state._mapping,
        key=lambda k: (not isinstance(k, int), str(k) if not isinstance(k, int) else k),
    )
    return [(jax.tree_util.DictKey(k), state[k]) for k in keys], tuple(keys)


def _flatten(state: State) -> tuple[list[Any], tuple]:
    children, keys = _flatten_with_keys(state)
    return [child for _, child in children], keys


def _unflatten(cls: type[State], keys: tuple, children: Iterable[Any]) -> State:
    return cls(
        {k: c._mapping if isinstance(c, State) else c for k, c in zip(keys, children)}, _copy=False
    )


def _register(cls: type[State]) -> None:
    jax.tree_util.register_pytree_with_keys(
        cls, _flatten_with_keys, partial(_unflatten, cls), _flatten
    )


_register(State)


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
    """Put the leaves of ``pure_dict`` into the leaves of ``state`` at the same paths, in place.

    A numeral among its keys stands for the int, where the state has that (text formats make strings of ints).

    Raises:
      ValueError: the state has no such leaf. Nothing was written then.
    """
    replace = replace_fn or (
        lambda leaf, value: leaf.replace(value) if isinstance(leaf, Variable) else value
    )
    held = dict(to_flat_state(state))
    writes = []
    for path, value in to_flat_state(pure_dict):
        here = path if path in held else tuple(map(_int_of, path))
        if here not in held:
            raise ValueError(f"the state has no leaf at {'.'.join(map(str, path))}")
        writes.append((here, replace(held[here], value)))
    for path, value in writes:
        inner: Any = state._mapping
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value


def _int_of(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.lstrip("-").isdecimal() else key


def restore_int_paths(pure_dict: Mapping) -> dict:
    """Turn keys that are numerals back into ints (text formats make strings of them).

    >>> restore_int_paths({"layers": {"0": 1.0}})
    {'layers': {0: 1.0}}
    """
    return {
        _int_of(k): restore_int_paths(v) if isinstance(v, Mapping) else v
        for k, v in pure_dict.items()
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


def merge_state(state: Mapping, /, *states: Mapping, cls: type = State) -> State:
    """One state with the leaves of all; a later one wins where paths meet."""
    flat = dict(to_flat_state(state))
    for other in states:
        flat.update(to_flat_state(other))
    return from_flat_state(flat, cls=cls)


def map_state(f: Callable[[Path, Any], Any], state: Mapping) -> State:
    """The state with ``f(path, leaf)`` for each leaf.

    >>> map_state(lambda path, leaf: leaf + len(path), State({"a": {"b": 1}})).to_pure_dict()
    {'a': {'b': 3}}
    """
    cls = type(state) if isinstance(state, State) else State
    return from_flat_state([(p, f(p, v)) for p, v in to_flat_state(state)], cls=cls)
