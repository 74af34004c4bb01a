"""What an initialiser can say about the Variable that will hold its value: hooks and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

HOOKS = ("on_set_value", "on_get_value", "on_create_value", "on_add_axis", "on_remove_axis")


@dataclass
class VariableMetadata:
    """A value with the hooks and metadata that its Variable shall have: what ``with_metadata`` initialisers return.

    >>> from nnxtrain import nnx
    >>> nnx.Param(VariableMetadata(1.0, metadata={"unit": "m"})).unit
    'm'
    """

    raw_value: Any
    on_set_value: Any = ()
    on_get_value: Any = ()
    on_create_value: Any = ()
    on_add_axis: Any = ()
    on_remove_axis: Any = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def all_metadata(self) -> dict[str, Any]:
        """The metadata with the hooks among them, as a Variable keeps them."""
        hooks = {name: getattr(self, name) for name in HOOKS}
        return {name: hook for name, hook in hooks.items() if hook} | dict(self.metadata)


def with_metadata(
    initializer: Callable[..., Any],
    on_set_value: Any = (),
    on_get_value: Any = (),
    on_create_value: Any = (),
    on_add_axis: Any = (),
    on_remove_axis: Any = (),
    **metadata: Any,
) -> Callable[..., VariableMetadata]:
    """Let the Variable that is made from ``initializer``'s result carry hooks and ``metadata``.

    Args:
      initializer: a function ``(key, shape, dtype) -> array``.
      on_set_value, on_get_value, on_create_value: functions ``(variable, value) -> value``, or a sequence of them.
      on_add_axis, on_remove_axis: functions ``(variable, axis_index, axis_name)``, or a sequence of them.
      **metadata: the Variable's metadata.

    >>> import jax
    >>> from nnxtrain import nnx
    >>> init = with_metadata(jax.nn.initializers.zeros, out_sharding=("data", None))
    >>> nnx.Param(init(jax.random.key(0), (2, 3))).out_sharding
    ('data', None)
    """
    given = (on_set_value, on_get_value, on_create_value, on_add_axis, on_remove_axis)
    hooks = tuple(as_hooks(hook) for hook in given)
    return partial(
        _initialize, initializer, hooks, metadata
    )  # a partial can be pickled and compared


def _initialize(
    initializer: Callable, hooks: tuple, metadata: dict, /, *args: Any, **kwargs: Any
) -> VariableMetadata:
    value = initializer(*args, **kwargs)
    return VariableMetadata(value, **dict(zip(HOOKS, hooks)), metadata=metadata)


def as_hooks(hooks: Any) -> tuple[Callable, ...]:
    """One function or a sequence of them, as a tuple."""
    return (hooks,) if callable(hooks) else tuple(hooks)
