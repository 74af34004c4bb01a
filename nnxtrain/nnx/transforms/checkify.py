"""``nnx.checkify``: run-time checks (NaN, index out of bounds, the user's own) in a function of objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.experimental import checkify as jax_checkify

from nnxtrain.nnx.transforms.lifted import Lifted


def checkify(
    f: Callable[..., Any],
    errors: frozenset = jax_checkify.user_checks,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """Return a function with the results ``(error, f's result)``, see ``jax.experimental.checkify``.

    Args:
      f: a function of objects.
      errors: which checks to make, such as ``checkify.float_checks``.

    >>> import jax.numpy as jnp
    >>> from jax.experimental import checkify
    >>> from nnxtrain import nnx
    >>> error, _ = nnx.checkify(lambda v: jnp.log(v.value), errors=checkify.nan_checks)(nnx.Param(-1.0))
    >>> "nan generated" in error.get()
    True
    """
    lifted = Lifted("nnx.checkify", f, graph, graph_updates)

    def checked(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = lifted.detach(args, kwargs)

        def pure(values: Any, args: tuple, kwargs: dict) -> Any:
            return lifted.run(call, values, args, kwargs)

        error, (out, sent, note) = jax_checkify.checkify(pure, errors=errors)(
            call.structure.values(), call.args, call.kwargs
        )
        return error, lifted.attach(call, out, sent, note)

    return checked
