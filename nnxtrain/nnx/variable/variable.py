"""Variables: the boxes that hold a module's arrays, and their kinds.

A Variable has one value (an array, or a pytree of arrays) and metadata (static, hashable). Writing the value
never changes the structure of the graph the Variable is part of; writing metadata does.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from nnxtrain.nnx import trace
from nnxtrain.nnx.errors import FrozenError
from nnxtrain.nnx.graph.pytree import register_variable
from nnxtrain.nnx.graph.static import Static
from nnxtrain.nnx.variable.annotated_sharding import shard_value
from nnxtrain.nnx.variable.metadata import HOOKS, VariableMetadata, as_hooks
from nnxtrain.nnx.variable.missing import MISSING as MISSING
from nnxtrain.nnx.variable.missing import MissingType as MissingType
from nnxtrain.nnx.variable.operators import add_operators
from nnxtrain.nnx.variable.values import CONTAINERS, copied, normalise, with_part

A = TypeVar("A")
V = TypeVar("V", bound="Variable")


class Epoch:
    """What this process wrote, so that a cached structure need not look at each of its parts.

    ``count`` counts the metadata writes; ``structure`` is another object after each of them, and after each change of
    a container.
    """

    count = 0
    structure: object = object()

    @classmethod
    def metadata_written(cls) -> None:
        cls.count += 1
        cls.structure = object()


class _Held:
    """Only the value: the slot of a base class lies beside the object's head, in the same line of the CPU's cache."""

    __slots__ = ("_value",)


class Variable(_Held, Generic[A]):
    """A box for a value that can change: ``v.value`` (or ``v[...]``) reads and writes it.

    Args:
      value: an array or a pytree of arrays. Python scalars and NumPy arrays become JAX arrays.
      **metadata: static facts about it, read back as attributes. ``on_get_value``, ``on_set_value`` and
        ``on_create_value`` are functions ``(variable, value) -> value`` (or a tuple of them).

    Arithmetic, indexing and ``jnp`` functions take the Variable for its value.

    >>> import jax.numpy as jnp
    >>> v = Variable(jnp.arange(3.0), unit="m")
    >>> v.value = v.value * 2
    >>> v[1] = 7.0
    >>> (v + 1).tolist(), v.shape, v.unit
    ([1.0, 8.0, 5.0], (3,), 'm')
    """

    __slots__ = ("__weakref__", "_frozen", "_level", "_metadata", "_path", "_trace")

    _value: Any
    _metadata: dict[str, Any]
    _frozen: int
    _path: tuple | None
    _class_hooks: ClassVar[tuple[str, ...]] = ()  # the hooks that are methods of the class

    hijax = False  # Flax's experimental modes of a Variable; there is one kind of box here
    ref = False

    def __init__(self, value: A | VariableMetadata | Variable[A], **metadata: Any):
        if isinstance(value, VariableMetadata):
            metadata = {**value.all_metadata(), **metadata}
            value = value.raw_value
        elif isinstance(value, Variable):
            metadata = {**value._metadata, **metadata}
            value = value._value
        for name in self._class_hooks:
            metadata.setdefault(name, getattr(type(self), name))
        for mode in ("hijax", "ref"):
            if mode in metadata and metadata.pop(mode):
                raise ValueError(
                    f"{type(self).__name__}({mode}=True): Variables have no such mode; leave {mode} out"
                )
        _place(self, value, metadata)
        for hook in _hooks(metadata, "on_create_value"):
            value = hook(self, value)
        put_raw(self, value)
        value = normalise(self.create_value(value))
        put_raw(self, shard_value(value, metadata) if metadata else value)

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._class_hooks = tuple(name for name in HOOKS if hasattr(cls, name))
        register_variable(cls)

    def create_value(self, value: Any) -> Any:
        """Return the first value, given the constructor's. For subclasses to override."""
        return value

    # -- the value ---------------------------------------------------------------------------------------------
    def get_value(self, *, index: Any = MISSING) -> Any:
        """Return the value, or ``value[index]``."""
        if trace.thread.level is not self._level:
            trace.check_read(self)
        value = self._value
        if type(value) in CONTAINERS:  # a change of it in place would go past the checks
            value = copied(value)
        if self._metadata:
            for hook in _hooks(self._metadata, "on_get_value"):
                value = hook(self, value)
        return value if isinstance(index, MissingType) or index is ... else value[index]

    def set_value(self, value: Any, *, index: Any = MISSING) -> None:
        """Replace the value, or the part ``value[index]``. With ``index=...`` an array keeps its shape and dtype.

        Raises:
          TraceError: the Variable was made in another trace (see :mod:`nnxtrain.nnx.trace`).
          FrozenError: inside ``nnx.frozen``.
        """
        if isinstance(value, Variable):
            value = value.get_value()
        if self._metadata:
            for hook in _hooks(self._metadata, "on_set_value"):
                value = hook(self, value)
        if not isinstance(index, MissingType):
            value = with_part(self._value, index, value)
        self.set_raw_value(value)

    @property
    def value(self) -> Any:
        return self.get_value()

    @value.setter
    def value(self, value: Any) -> None:
        self.set_value(value)

    @property
    def raw_value(self) -> Any:
        """The value without the ``on_get_value`` functions."""
        return self._value

    @raw_value.setter
    def raw_value(self, value: Any) -> None:
        self.set_raw_value(value)

    def get_raw_value(self) -> Any:
        return self._value

    def set_raw_value(self, value: Any, *, _unsafe_bypass_check: bool = False) -> None:
        """Replace the value without the ``on_set_value`` functions."""
        if _unsafe_bypass_check:
            put_raw(self, normalise(value))
            return
        if self._frozen:
            raise FrozenError(
                f"{trace.name_of(self, None)} is written inside nnx.frozen. Leave the block to change it, "
                "or run the module in evaluation mode (model.eval()), in which it only reads it."
            )
        trace.check_write(self)
        put_raw(self, normalise(value))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.get_value().shape

    def __getitem__(self, index: Any) -> Any:
        return self.get_value(index=index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.set_value(value, index=index)

    def __delitem__(self, index: Any) -> None:
        value = self.get_value()
        del value[index]
        self.set_value(value)

    # -- metadata ----------------------------------------------------------------------------------------------
    def get_metadata(
        self,
        name: str | None = None,
        default: Any = MISSING,
        *,
        exclude_required: bool | None = None,
    ) -> Any:
        """Return one metadatum, or a dict of all.

        Args:
          name: which; None for all.
          default: what to return where there is none of that name.
          exclude_required: accepted for Flax's sake; there are no metadata that every Variable has.

        Raises:
          KeyError: there is none of that name, and no default.
          TypeError: a default without a name, or ``exclude_required`` with one.
        """
        if name is None:
            if not isinstance(default, MissingType):
                raise TypeError("get_metadata takes a default only together with a name")
            return dict(self._metadata)
        if exclude_required is not None:
            raise TypeError("get_metadata takes a name or exclude_required, not both")
        if name not in self._metadata and not isinstance(default, MissingType):
            return default
        return self._metadata[name]

    def has_metadata(self, name: str) -> bool:
        return name in self._metadata

    def set_metadata(self, *args: Any, **kwargs: Any) -> None:
        """``set_metadata(name, value)``, ``set_metadata(mapping)`` (replaces all) or ``set_metadata(name=value)``."""
        if bool(args) == bool(kwargs) or len(args) > 2:
            raise TypeError(
                "set_metadata takes a mapping, or a name and a value, or keywords; "
                f"it got {len(args)} values and {len(kwargs)} keywords"
            )
        if len(args) == 1:
            self._write_metadata(dict(args[0]))
        else:
            self._write_metadata({**self._metadata, **(dict([args]) if args else kwargs)})

    def del_metadata(self, name: str) -> None:
        """Take one metadatum away. Raises a KeyError where there is none of that name."""
        if name not in self._metadata:
            raise KeyError(name)
        self._write_metadata({k: v for k, v in self._metadata.items() if k != name})

    def _write_metadata(self, metadata: dict[str, Any]) -> None:
        if Static(metadata) != Static(self._metadata):
            trace.check_write(self)
            object.__setattr__(self, "_metadata", metadata)
            Epoch.metadata_written()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            metadata = object.__getattribute__(self, "_metadata")
        except AttributeError:
            raise AttributeError(name) from None
        if name in metadata:
            return metadata[name]
        try:
            return getattr(self.get_value(), name)
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no metadata {name!r}, and neither has its value"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            self.set_metadata(name, value)

    def __delattr__(self, name: str) -> None:
        self.del_metadata(name)

    @property
    def sharding_names(self) -> Any:
        """The names of the mesh axes (metadata ``out_sharding``, or ``sharding_names``, ``sharding``), or None."""
        for name in ("out_sharding", "sharding_names", "sharding"):
            if name in self._metadata:
                return self._metadata[name]
        return None

    def add_axis(self, axis_index: int, axis_name: str | None) -> None:
        """Tell the ``on_add_axis`` hooks that the value got an axis (by ``nnx.vmap`` or ``nnx.scan``)."""
        for hook in _hooks(self._metadata, "on_add_axis"):
            hook(self, axis_index, axis_name)

    def remove_axis(self, axis_index: int, axis_name: str | None) -> None:
        """Tell the ``on_remove_axis`` hooks that the value lost an axis."""
        for hook in _hooks(self._metadata, "on_remove_axis"):
            hook(self, axis_index, axis_name)

    # -- copies ------------------------------------------------------------------------------------------------
    @property
    def type(self) -> type:
        """The Variable's kind."""
        return type(self)

    var_type = type

    @classmethod
    def from_metadata(cls: builtins.type[V], value: Any, attributes: dict[str, Any]) -> V:
        """Make a Variable of this kind around ``value`` as it is (tracers and abstract values included)."""
        variable: V = object.__new__(cls)
        _place(variable, value, dict(attributes))
        return variable

    def replace(self: V, value: Any = MISSING, *, _copy_ref: bool = True, **updates: Any) -> V:
        """Return a new Variable of the same kind with another value or other metadata."""
        value = self._value if isinstance(value, MissingType) else value
        if isinstance(value, Variable):
            value = value._value
        if type(value) in CONTAINERS:
            value = copied(value)
        return self.from_metadata(value, {**self._metadata, **updates})

    copy = replace
    to_state = replace

    def copy_from(self, other: Variable) -> None:
        """Take over the value and the metadata of another Variable of the same kind (else: a ValueError)."""
        if type(self) is not type(other):
            raise ValueError(f"cannot copy a {type(other).__name__} into a {type(self).__name__}")
        self.update_from_state(other)

    def update_from_state(self, variable_state: Variable) -> None:
        """Take over the value and the metadata of another Variable."""
        self.set_raw_value(variable_state._value)
        self._write_metadata(dict(variable_state._metadata))

    def __getstate__(self) -> tuple[Any, dict[str, Any]]:
        return self._value, self._metadata

    def __setstate__(self, state: tuple[Any, dict[str, Any]]) -> None:
        _place(self, *state)

    # -- standing in for the value -----------------------------------------------------------------------------
    def __jax_array__(self) -> Any:
        return self.get_value()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return np.asarray(self.get_value(), *args, **kwargs)

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        from nnxtrain.nnx.inspection.notebook import render

        return render(self, path, subtree_renderer)

    def __repr__(self) -> str:
        parts = [f"value={self._value!r}", *(f"{k}={v!r}" for k, v in self._metadata.items())]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        return format(self.get_value(), spec) if spec else repr(self)

    __hash__ = object.__hash__  # a Variable is itself, whatever its value


_OWN = frozenset(
    {"_frozen", "_level", "_metadata", "_path", "_trace", "_value", "raw_value", "value"}
)

# The slot's own accessors: no Python frame is entered, so whole lists are read and written by map().
put_raw = _Held.__dict__["_value"].__set__
get_raw = operator.attrgetter("_value")


def _place(variable: Variable, value: Any, metadata: dict[str, Any]) -> None:
    put = object.__setattr__
    put(variable, "_value", value)
    put(variable, "_metadata", metadata)
    put(variable, "_level", trace.thread.level)
    put(variable, "_trace", trace.current_trace())
    put(variable, "_frozen", 0)
    put(variable, "_path", None)


def _hooks(metadata: dict[str, Any], name: str) -> tuple[Callable, ...]:
    hooks = metadata.get(name, ())
    return hooks if type(hooks) is tuple else as_hooks(hooks)


register_variable(Variable)
add_operators(Variable)


class Param(Variable[A]):
    """A trainable parameter."""


class BatchStat(Variable[A]):
    """A running statistic, such as BatchNorm's mean."""


class Cache(Variable[A]):
    """A value kept between calls, such as the keys and values of autoregressive decoding."""


class Intermediate(Variable[A]):
    """A value stored by ``Module.sow``."""


class Perturbation(Intermediate[A]):
    """A zero added to an intermediate value, so that its gradient can be taken."""


class RngState(Variable[A]):
    """State of a random number stream."""


class RngKey(RngState[A]):
    """The key of a random number stream."""


class RngCount(RngState[A]):
    """How many keys a random number stream has given."""


class OptState(Variable[A]):
    """State of an optimizer."""


class OptArray(OptState[A]):
    """An optimizer's array that belongs to no one parameter (a step count)."""


class OptVariable(OptState[A]):
    """An optimizer's array that belongs to a parameter (a momentum)."""
